"""The programs of a simulated pod, each a coroutine on a `Process`."""

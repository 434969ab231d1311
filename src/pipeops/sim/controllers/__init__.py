"""The built-in controllers, the scheduler and the kubelets, as much of them as people notice."""

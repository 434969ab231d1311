"""asyncio drivers around pipeops.protocol."""

"""The agent's end of the PipeOps dialect: HTTP requests and answers as JSON messages."""

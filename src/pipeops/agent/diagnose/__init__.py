"""`pipeops-agent diagnose`: can this agent reach what it needs, and may it do what it must?"""

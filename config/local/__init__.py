"""What runs on one machine: `make up` starts PostgreSQL, Redis, web, worker and beat under one supervisor.

Nothing here imports Django: these modules start the processes in which Django runs, and have to give a clear
sentence where it could not even be imported.
"""

"""The shell of every job: its plan, audit, receipts, model choice and covariates.

A job is a plan function that returns a `PlannedJob`, a setup that makes its worker, and a
`RunDescription`. `start_run` makes the run's id and audit; `Run.execute` does the tasks and closes
the audit.
"""

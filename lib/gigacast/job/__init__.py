"""The shell of every job: its plan, audit, receipts, model choice and covariates."""

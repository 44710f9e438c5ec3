"""Entry points for AWS Lambda and AWS Batch: each turns its event into values and calls a job."""

"""Served features for other programs: questions as JSON, over HTTP or as an AWS Lambda function."""

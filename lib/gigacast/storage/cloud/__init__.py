"""Stores in Google Cloud Storage and in Azure Blob Storage."""

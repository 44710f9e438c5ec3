"""Where tasks run: in this process, over joblib's processes (AWS Batch later)."""

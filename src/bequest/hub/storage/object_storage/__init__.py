"""A store on object storage: a log in a bucket, and a folder here that follows it."""

"""Backup and restore of everything that is the truth: Postgres, objects, documents, settings.

    vault.py      encrypted files at a target: sealed.py in a folder or a bucket (targets.py)
    database.py   base backups of Postgres        wal.py        its log, as it is written
    bucket.py     objects and their inventory     documents.py  MongoDB      settings.py  files
    backup.py     all of them, as one backup      retention.py  which backups go
    restore.py    a data folder from a backup     drill.py      the same for practice, measured

On the target:

    base/{id}/{postgres.tar,backup_manifest,objects.jsonl,documents.jsonl,settings.tar}
    base/{id}/manifest            written last: without it the backup is half, and is removed
    wal/{segment}[.partial]       objects/{name}        journal/{moment}  changes of the bucket
"""

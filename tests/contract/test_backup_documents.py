"""Documents of MongoDB leave as lines and come back as they were."""

from pathlib import Path

from atelier_admin.backup.documents import dump_documents, load_documents
from db.ids import new_id
from db.mongo_documents import MongoDocuments


async def test_documents_come_back_as_they_were(mongodb_url: str, tmp_path: Path) -> None:
    documents = MongoDocuments(mongodb_url)
    try:
        kept, deleted = new_id("job"), new_id("job")
        content = {"steps": 8, "seed": 2**40, "memory": {"plan": "fp16"}, "words": "é\n"}
        await documents.merge(kept, content)
        await documents.merge(deleted, {"steps": 1})
        count = await dump_documents(mongodb_url, tmp_path / "documents.jsonl")
        await documents.merge(kept, {"steps": 9})
        await documents.delete(deleted)
        assert await load_documents(mongodb_url, tmp_path / "documents.jsonl") == count >= 2
        assert await documents.get(kept) == content
        assert await documents.get(deleted) == {"steps": 1}
    finally:
        await documents.close()

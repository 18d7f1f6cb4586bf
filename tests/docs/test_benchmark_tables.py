from benchmarks.tables import pages


def test_the_tables_are_those_of_the_committed_results():
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, f"run python -m benchmarks.tables: {path}"

"""Triples from files, frames and lists; what is wrong with one is one line."""

import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from bequest.data.rdf import read_rdf
from bequest.data.triples import Triples, read_triples
from bequest.errors import DataError

PLACES = [("paris", "in", "france"), ("lyon", "in", "france"), ("rome", "in", "italy")]


def bomb(levels: int) -> bytes:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, levels))
    return (
        f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a0 "{"a" * 40}">{entities}]>'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="urn:e:">'
        f'<rdf:Description rdf:about="urn:x"><e:p rdf:resource="urn:&a{levels - 1};"/>'
        "</rdf:Description></rdf:RDF>"
    ).encode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "paris,in,france\nlyon,in,france\nrome,in,italy\n"),
        ("p.csv", 'head,relation,tail\n"paris",in,france\nlyon, in ,france\nrome,in,italy\n'),
        ("p.csv", "paris;in;france\nlyon;in;france\nrome;in;italy"),
        ("p.txt", "rome\tin\titaly\n\nparis\tin\tfrance\nlyon\tin\tfrance\n"),
        (
            "p.tsv",
            "Subject\tPredicate\tObject\nparis\tin\tfrance\nlyon\tin\tfrance\nrome\tin\titaly",
        ),
    ],
)
def test_text_of_three_columns_gives_the_same_triples_in_any_order(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    triples = read_triples(tmp_path / name)
    assert triples.entities == ("france", "italy", "lyon", "paris", "rome")
    assert triples.relations == ("in",)
    assert sorted(triples.rows.tolist()) == [[2, 0, 0], [3, 0, 0], [4, 0, 1]]
    assert triples.name == "p"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.nt", '<urn:b> <urn:q> <urn:a> .\n<urn:a> <urn:p> "7" .\n'),
        ("g.nq", "<urn:b> <urn:q> <urn:a> <urn:graph> .\n"),
        ("g.ttl", "@prefix u: <urn:> . u:b u:q u:a ; u:p 7 ."),
        ("g.jsonld", '{"@id": "urn:b", "urn:q": {"@id": "urn:a"}, "urn:p": 7}'),
        (
            "g.rdf",
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:u="urn:">'
            '<rdf:Description rdf:about="urn:b"><u:q rdf:resource="urn:a"/><u:p>7</u:p>'
            "</rdf:Description></rdf:RDF>",
        ),
    ],
)
def test_rdf_of_any_form_gives_its_entities_and_leaves_values_out(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    triples = read_triples(tmp_path / name)
    assert triples.entities == ("urn:a", "urn:b")
    assert triples.relations == ("urn:q",)
    assert triples.rows.tolist() == [[1, 0, 0]]


def test_frames_arrays_and_lists_are_the_same():
    frame = pd.DataFrame(PLACES, columns=["who", "how", "where"])
    listed, framed, array = Triples.of(PLACES), Triples.of(frame), Triples.of(np.array(PLACES))
    for triples in (framed, array, read_triples(listed)):
        assert triples.entities == listed.entities
        assert triples.rows.tolist() == listed.rows.tolist()


def test_numbers_are_the_text_that_they_are_written_as():
    assert Triples.of([(3, 1, 4), (4, 1, 3)]).entities == ("3", "4")
    assert Triples.of(np.array([[3.0, 1.0, 4.0]])).entities == ("3", "4")


def test_a_triple_that_stands_twice_counts_once_and_is_told(caplog):
    with caplog.at_level("INFO"):
        triples = Triples.of([*PLACES, PLACES[0]])
    assert len(triples) == 3
    assert "1 triple left out that stood there already" in caplog.text


def test_triples_are_found_in_another_graph_where_all_of_their_names_are():
    graph = Triples.of(PLACES)
    rows, unknown = Triples.of([("lyon", "in", "italy"), ("oslo", "in", "italy")]).among(graph)
    assert [graph.entities[place] for place in rows[0, [0, 2]]] == ["lyon", "italy"]
    assert unknown == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n \n", "is empty"),
        ("a.csv", b"a,b\nc,d\n", "the first row of .* has 2 values; a triple has three"),
        ("a.tsv", b"a,b,c\n", "has 1 value; a triple has three"),
        ("a.csv", b"a,b,c\na,b,d\nc,d\n", "row 3 of .* has 2 values"),
        ("a.csv", b"a,b,c\nc,d,e,f\n", "row 2 of .* has 4 values"),
        ("a.csv", b"head,relation,tail\n", "a has no triples"),
        ("a.csv", b"head,relation,tail\na,b,\n", "has no tail in row 2"),
        ("a.csv", b"a,,c\n", "has no relation in row 1"),
        ("a.csv", b"\xe9,b,c\n", "is not UTF-8: byte 0xe9"),
        ("a.csv", b"a\0,b,c\n", "is not text"),
        ("a.csv", b"a,b,a\n", "has one entity only, 'a'"),
        ("a.nt", b"", "a has no triples"),
        ("a.nt", b"<a> <b> <c>\n", r"a is no RDF \(.nt\)"),
        ("a.ttl", b"<urn:a> <urn:b> " + b"(" * 100_000, r"a is no RDF \(.ttl\)"),
        ("a.jsonld", b'{"@context": "http://x.test/c", "@id": "urn:a"}', "remote contexts"),
        ("a.ttl", b'<urn:a> <urn:b> "\xff" .', r"a is no RDF \(.ttl\)"),
        ("a.xyz", b"a,b,c\n", "is no file that ends in .csv"),
        (".", b"", "is no file"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, name, content, said):
    if name != ".":
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_triples(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("triples", "said"),
    [
        ([("a", "b")], "row 0 .* has 2 values"),
        ([1, 2, 3], "row 0 .* has 1 value"),
        ([], "there are no triples"),
        (7, "not a int"),
        ({"a": ["x"], "b": ["y"]}, "these have 2: a, b"),
        ([("a", None, "b")], "no relation in row 0"),
        ([("a", "p", " ")], "no tail in row 0"),
        ("nowhere.csv", "there is no file"),
    ],
)
def test_bad_triples_are_one_line(triples, said):
    with pytest.raises(DataError, match=said):
        read_triples(triples)


def test_a_billion_laughs_end_a_process_that_is_not_ours():
    began = time.perf_counter()
    with pytest.raises(DataError, match=r"unfold to more than 0\.5 GiB"):
        read_rdf(bomb(9), ".rdf", title="laughs", memory=2**29)
    assert time.perf_counter() - began < 60


def test_rdf_is_read_where_less_memory_may_be_had_than_is_asked_for(little_memory):
    assert read_rdf(b"<a:a> <a:b> <a:c> .", ".nt", title="few")[0] == ["a:a", "a:c"]


def test_reading_that_takes_too_long_is_given_up():
    with pytest.raises(DataError, match="took longer than 0 s"):
        read_rdf(b"<urn:a> <urn:b> <urn:c> .\n" * 100_000, ".nt", title="long", seconds=0.05)


def test_a_file_of_a_million_lines_is_read_in_bounded_memory(tmp_path):
    lines = "".join(f"e{n % 99_991}\tr{n % 20}\te{n % 99_989}\n" for n in range(1_000_000))
    (tmp_path / "big.tsv").write_text(lines)
    tracemalloc.start()
    triples = read_triples(tmp_path / "big.tsv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(triples) == 1_000_000
    assert len(triples.entities) == 99_991
    assert peak < 300 * 2**20  # of which the file is 15 MB, the numbers 24 MB

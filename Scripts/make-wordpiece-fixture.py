"""Writes Tests/ApusDataTests/Fixtures/wordpiece.json: a small vocabulary, difficult texts, and the ids
that the reference tokenizer gives them, under several settings.

Usage: make-wordpiece-fixture.py [--model FOLDER]
With --model nothing is written: the ids of the same texts by the tokenizer of a folder are printed
as JSON, to be compared with what Apus makes of them.
Needs: pip install transformers==5.23.0. The project itself needs no Python; the output is committed.
"""

import argparse
import json
import pathlib
import string
import tempfile

import tokenizers
import transformers

TEXTS = [
    "", " ", "\t\r\n", "hello world", "Hello, World!", "HELLO", "unaffable unaffables",
    "don't stop-me now...", "a" * 100, "a" * 101, "a" * 99 + "b c", "aa" * 60 + " ab",
    "naïve café résumé", "nai\u0308ve cafe\u0301", "ÀÉÎÕÜ àéîõü", "İstanbul ısı", "ß ẞ STRASSE",
    "ΌΣΟΣ Σίσυφος ΑΣ", "Привет, мир! Ёлка й", "日本語テキスト", "中文abc中", "漢字 かな ｶﾅ ガ か\u3099",
    "한국어 텍스트", "العربية נִקּוּד", "हिन्दी पाठ", "ไทย ภาษา", "😀 👩\u200d👩\u200d👧 🇩🇪 👍🏽",
    "zero\u200bwidth soft\u00adhyphen bom\ufeff", "nbsp\u00a0here \u2003em \u3000wide \u2028line\u2029par",
    "bell\x07 nul\x00 del\x7f nel\x85 vt\x0b ff\x0c", "bad\ufffdchar", "private\ue000use \U000f0000",
    "un\u0378assigned \U0001fffe", "¿qué? «oui» “quotes” ‘s’ – — … •", "$5.00 €20 £3 ¥100 + = < > | ~ ^ `",
    "a_b c\\d e/f (g) [h] {i} @j #k %l &m *n", "3.14159 1,000,000 ½ ² ① Ⅳ ４２", "ﬁ ﬂ ﬀ Å Ω K",
    "[CLS] [SEP] [MASK] [PAD] [UNK]", "x[MASK]y [mask] [ MASK ]", "[[CLS]] [SEP][SEP]", "##a ## #a",
    "https://example.org/a?b=c&d=1#e", "user@example.com", "\u0301combining first", "e\u0301\u0302\u0303x",
    "A\u030a \u212b \u1e9b\u0323 \u0344", "\U00020000 \U0002f81d \uf900", "ǅ ǈ ŉ ΐ İİ", "\u0130\u0307",
    "  leading and   many   spaces  ", "tab\tnew\nline\r\nend", "word" * 30, "…", "。、「」！？",
    "\u1680ogham \u180emongolian", "\ud7a4 \U0010ffff", "a\u0345b \u0c4d \u0903x",
]

SETTINGS = {
    "uncased": dict(do_lower_case=True),
    "cased": dict(do_lower_case=False),
    "accents": dict(do_lower_case=True, strip_accents=False),
    "bare": dict(do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False),
}


def vocabulary() -> list[str]:
    """Special tokens out of order, single characters of most texts, and pieces."""
    words = ["[PAD]", "[unused0]", "[UNK]", "hello", "world", "un", "##aff", "##able", "##s", "stop",
             "now", "na", "##ive", "##ïve", "cafe", "café", "resume", "résumé", "[CLS]", "[SEP]", "Hello",
             "HEL", "##LO", "straße", "stra", "##ss", "##ß", "##e", "istanbul", "привет", "мир", "елка",
             "ёлка", "и", "##и", "日", "本", "##本", "語", "##語", "[MASK]", "aa", "##aa", "##aaa", "word",
             "##word", "zerowidth", "soft", "##hyphen", "example", "##xample", "leading", "...", "σισυφος"]
    singles = sorted({c for t in TEXTS[:40] for c in t.lower() if c.isprintable() and c != " "}
                     | set(string.ascii_letters + string.digits + string.punctuation))
    singles = [c for i, c in enumerate(singles) if ord(c) < 128 or i % 3]  # some stay unknown
    pieces = words + singles + ["##" + c for c in singles if c.isalnum()]
    return list(dict.fromkeys(pieces))


def reference(vocab: list[str], options: dict) -> list[list[int]]:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "vocab.txt")
        path.write_text("\n".join(vocab) + "\n", encoding="utf-8")
        backend = tokenizers.BertWordPieceTokenizer(
            str(path), lowercase=options["do_lower_case"],
            strip_accents=options.get("strip_accents"),
            handle_chinese_chars=options.get("tokenize_chinese_chars", True))
        tokenizer = transformers.BertTokenizer(vocab=str(path), **options)
        ids = [tokenizer(t)["input_ids"] for t in TEXTS]
        assert ids == [backend.encode(t).ids for t in TEXTS], options
        return ids


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    arguments = parser.parse_args()
    if arguments.model:
        tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
        print(json.dumps({"texts": TEXTS, "ids": [tokenizer(t)["input_ids"] for t in TEXTS]}))
        return
    vocab = vocabulary()
    cases = [{"name": name, **options, "ids": reference(vocab, options)}
             for name, options in SETTINGS.items()]
    output = pathlib.Path(__file__).parent.parent / "Tests/ApusDataTests/Fixtures/wordpiece.json"
    output.parent.mkdir(exist_ok=True)
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    output.write_text(json.dumps(
        {"versions": versions, "vocabulary": vocab, "texts": TEXTS, "cases": cases}) + "\n")
    print(f"{len(TEXTS)} texts, {len(vocab)} pieces, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()

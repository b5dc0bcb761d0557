#!/usr/bin/env python3
"""Small tokenizers of every published kind, and what Hugging Face's tokenizers make of texts with them.

Usage: Scripts/make-tokenizer-fixtures.py FOLDER [--texts N] [--seed S]

Needs the package tokenizers. For each kind FOLDER gets KIND.json, the tokenizer, and KIND-cases.json: texts with their
ids, with and without the tokens around a text, and the text that the ids are read as. Texts are sentences of several
scripts, code, digits, spaces of every kind and random scalars. The pieces are learned from the same sentences.
"""
import argparse
import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TAIL = r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"
PATTERNS = {
    "llama3": SHORT + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+" + TAIL,
    "qwen2": SHORT + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+" + TAIL,
    "qwen3_5": SHORT + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+" + TAIL,
}
SENTENCES = [
    "The quick swift stays in the air for ten months; it's what they've said, isn't it?",
    "He'll say I'm wrong, she'd agree: WE'RE LATE, IT'S 12345 o'clock and 67 % of 890.",
    "Der schnelle Mauersegler fliegt über die Dächer, größer als 1.234,56 Häuser.",
    "Le martinet vole très haut où l'air est calme, n'est-ce pas ? Ça ira.",
    "Быстрый стриж летит над крышами; 42 птицы, не так ли?",
    "雨燕は空を飛び続ける。東京の夜は静かです。２０２６年。",
    "سنونو سريع يطير فوق البيوت ١٢٣٤",
    "हिन्दी में एक तेज़ चिड़िया उड़ती है १२३",
    "Nhanh như chim én, tiếng Việt có dấu. e\u0301tude, cafe\u0301, a\u0323\u0302",
    "def f(x):\n    return x ** 2  # squares\n\n\nclass A:\n\tpass\r\n",
    "for (int i = 0; i < 10; ++i) { sum += a[i] * 0x1F; }   \n",
    "{\"key\": [1, 2.5e-3, null], \"text\": \"a\\nb\"}",
    "🙂🙃👩‍👩‍👧 flags 🇩🇪🇫🇷 and ① ② Ⅷ ½ ² ﬁ",
    "   three spaces before,  two within,\ttabs\t\tand trailing   ",
    "\n\n  lines \n \n\n and\r\n\r\nbreaks\u2028here\u00a0and\u3000there\u0085.",
    "Don't DON'T don’t 'tis 'S 'ſ ''ll 're-do",
    "<|begin|>user text <|end|> more</s> [INST] x",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "1000000 31415926535 007 3.14.15 v2.0.1",
    "",
    " ",
    "x",
]


def byte_level(pattern=None, size=420, before=(), digits=None, ignore_merges=False, prefix=False, template=True):
    made = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    parts = list(before)
    if pattern:
        parts.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    parts.append(pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=pattern is None))
    parts += digits or []
    made.pre_tokenizer = pre_tokenizers.Sequence(parts) if len(parts) > 1 else parts[0]
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(SENTENCES * 4, trainer)
    made.add_special_tokens(["<|begin|>", "<|end|>"])
    made.add_tokens([AddedToken("</s>", normalized=False), AddedToken("[INST]", lstrip=True)])
    if template:
        made.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing("<|begin|> $A", None, [("<|begin|>", made.token_to_id("<|begin|>"))])])
    return made


def sentence_pieces(legacy):
    """Llama 2's and Mistral's: characters, spaces as a symbol, bytes where a character has no piece."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, show_progress=False, limit_alphabet=90)
    learned = Tokenizer(models.BPE(unk_token="<unk>"))
    learned.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learned.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    learned.train_from_iterator(SENTENCES * 4, trainer)
    state = json.loads(learned.to_str())["model"]
    made.model = models.BPE(
        vocab=state["vocab"], merges=[tuple(pair) for pair in state["merges"]], unk_token="<unk>", fuse_unk=True,
        byte_fallback=True)
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    made.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", made.token_to_id("<s>"))])
    return made


def unigram(fallback):
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256 if fallback else 0)]
    trainer = trainers.UnigramTrainer(
        vocab_size=600 if fallback else 400, special_tokens=special, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(SENTENCES * 4, trainer)
    if fallback:
        state = json.loads(made.to_str())["model"]
        made.model = models.Unigram([tuple(row) for row in state["vocab"]], state["unk_id"], True)
        made.decoder = decoders.Sequence([
            decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    made.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", made.token_to_id("</s>"))])
    return made


def kinds():
    digits = pre_tokenizers.Digits(individual_digits=True)
    falcon = [pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]
    qwen = byte_level(PATTERNS["qwen2"], template=False)
    qwen.normalizer = normalizers.NFC()
    return {
        "gpt2": byte_level(), "gpt2-prefix": byte_level(prefix=True),
        "llama3": byte_level(PATTERNS["llama3"], ignore_merges=True), "qwen2": qwen,
        "qwen3_5": byte_level(PATTERNS["qwen3_5"]), "starcoder": byte_level(before=[digits]),
        "falcon": byte_level(before=[pre_tokenizers.Punctuation("contiguous")], digits=falcon),
        "llama2": sentence_pieces(True), "mistral": sentence_pieces(False),
        "unigram": unigram(False), "unigram-bytes": unigram(True),
    }


def texts(count, seed):
    draw = random.Random(seed)
    ranges = [(32, 126), (32, 126), (9, 13), (160, 591), (768, 879), (0x400, 0x4FF), (0x5D0, 0x6FF), (0x900, 0x97F),
              (0x2000, 0x206F), (0x3040, 0x30FF), (0x4E00, 0x4EFF), (0x1F600, 0x1F64F), (0x660, 0x669)]
    made = list(SENTENCES)
    while len(made) < count:
        if draw.random() < 0.5:
            one = draw.choice(SENTENCES)
            start = draw.randrange(len(one) + 1)
            made.append(one[start:start + draw.randrange(60)] + draw.choice(SENTENCES)[: draw.randrange(40)])
        else:
            made.append("".join(
                chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randrange(1, 30))))
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--texts", type=int, default=120)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for kind, made in kinds().items():
        made.save(str(options.folder / f"{kind}.json"), pretty=False)
        cases = []
        for text in texts(options.texts, options.seed):
            ids = made.encode(text).ids
            cases.append({"text": text, "ids": ids, "inner": made.encode(text, add_special_tokens=False).ids,
                          "read": made.decode(ids)})
        (options.folder / f"{kind}-cases.json").write_text(json.dumps(
            {"versions": {"tokenizers": tokenizers.__version__}, "cases": cases}, ensure_ascii=True))


if __name__ == "__main__":
    main()

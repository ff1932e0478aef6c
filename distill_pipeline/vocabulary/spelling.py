"""Which spellings of a text are one to the student, and where its words begin and end.

What the teacher's tokenizer folds, the student's folds too, so that it knows each letter that the teacher reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

# Scripts as code points, since runtimes name them differently.
_HAN = "\u3005\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
UNSPACED = (
    rf"\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff"
    rf"\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f{_HAN}"
)
"""Characters of scripts that put no space between words, for a character class of a regular expression: Thai, Lao,
Burmese, Khmer, kana and Han."""

_POINTS = r"\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670"
"""Points of Hebrew and Arabic, which most texts leave out."""
_ACCENTS = rf"\u0300-\u036f\u0483-\u0487\u0653-\u0655{_POINTS}"
"""Marks that readers of some languages can do without: those of Latin, Greek and Cyrillic letters, hamza and points;
but not vowels of Indic scripts, or what tells か from が."""

MERGED_AT_MOST = 0.001
"""Share of running text whose words may lose what tells them apart. By wordfreq's lists, folding accents merges 0.01 %
of English, 0.14 % of Dutch, 1.8 % of Spanish, 2.6 % of French and 25 % of Vietnamese text."""

LONGEST_RUN = 64
"""Characters of one word; what is longer is a clause of a script without spaces, an address or the like, and is cut."""


@dataclass(frozen=True)
class Spelling:
    """What the student folds before it looks up words.

    Attributes:
        lowercase: Case, and points of Hebrew and Arabic.
        accents: The other accents.
        every_mark: All marks that take no place of their own, and syllables of Korean into letters, as BERT's uncased
            teachers do.
        compatibility: Full-width letters, ligatures and the like into plain ones (Unicode's NFKC).
    """

    lowercase: bool = True
    accents: bool = True
    every_mark: bool = False
    compatibility: bool = False

    @classmethod
    def fit_for(cls, teacher: Tokenizer, *, lowercase: bool, unknown: int | None) -> "Spelling":
        """Return the spelling of a student whose accents are kept, unless the teacher folds them.

        Args:
            teacher: The teacher's tokenizer.
            lowercase: Whether to fold case; it is folded anyway if the teacher does so.
            unknown: The id that the teacher reads for what it doesn't know.
        """

        def normal(text: str) -> str:
            return text if teacher.normalizer is None else str(teacher.normalizer.normalize_str(text))

        every_mark = "\u094d" not in normal("क्")
        return cls(
            lowercase=lowercase or "A" not in normal("A"),
            accents=every_mark,
            every_mark=every_mark,
            compatibility=unknown not in teacher.encode("ﬁ Ａ", add_special_tokens=False).ids,
        )

    def normalizer(self) -> normalizers.Normalizer:
        """Return the normalizer of the student's tokenizer."""
        # Khmer, Thai and Burmese pages separate words by a space of no width, which BERT's step would drop.
        steps: list[normalizers.Normalizer] = [normalizers.Replace("\u200b", " ")]
        if self.compatibility:  # which would glue the letters TM to a name
            steps += [normalizers.Replace(Regex("[™℠]"), " "), normalizers.NFKC()]
        steps.append(
            normalizers.BertNormalizer(
                handle_chinese_chars=False, strip_accents=self.every_mark, lowercase=self.lowercase
            )
        )
        if self.every_mark:
            return normalizers.Sequence(steps)
        if self.lowercase:
            marks = _ACCENTS if self.accents else _POINTS
            steps += [normalizers.NFD(), normalizers.Replace(Regex(f"[{marks}]+"), "")]
        return normalizers.Sequence([*steps, normalizers.NFC()])


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Return what cuts a normalised text into words: at spaces, symbols and Han characters, and long runs."""
    # BERT's split leaves symbols such as emoji inside a word, and one unknown symbol makes the whole word unknown.
    letter = rf"[^\p{{Z}}\p{{P}}\p{{S}}\p{{C}}{_HAN}]"
    parts = rf"[^\p{{L}}\p{{N}}\p{{M}}]|[{_HAN}]|{letter}{{{LONGEST_RUN}}}\p{{M}}*"
    return pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Split(Regex(parts), behavior="isolated")]
    )


def word_boundaries() -> normalizers.Normalizer:
    """Return a normalizer that gives each word of a script with spaces a space of its own at both ends.

    An entry of several words is normalised too, and so is found between whole words alone, by every runtime: the
    JavaScript port of tokenizers ignores `single_word`.
    """
    not_letter = rf"\p{{P}}\p{{S}}\p{{C}}{UNSPACED}"
    letter, letter_or_space = rf"[^\p{{Z}}{not_letter}]", rf"[^{not_letter}]"
    # Doubling the spaces first is faster than putting one at each end of each word.
    lonely_ends = rf"(?<!{letter_or_space})(?={letter})|(?<={letter})(?!{letter_or_space})"
    return normalizers.Sequence([normalizers.Replace(" ", "  "), normalizers.Replace(Regex(lonely_ends), " ")])


def is_plain(text: str) -> bool:
    """Whether each spelling leaves a text as it is: ASCII letters without capitals. Quick to ask; most words are so."""
    return text.isascii() and text.isalpha() and text.islower()


def merged_by_accents(words: Sequence[str], spelling: Spelling) -> list[int]:
    """Return the indices of words that share their spelling with an earlier word of other accents.

    Args:
        words: Words, most frequent first.
        spelling: One that folds accents.
    """
    kept = replace(spelling, accents=False, every_mark=False).normalizer()
    folded = spelling.normalizer()
    firsts: dict[str, str] = {}
    merged = []
    for index, word in enumerate(words):
        plain = word if is_plain(word) else kept.normalize_str(word)
        if firsts.setdefault(plain if is_plain(plain) else folded.normalize_str(plain), plain) != plain:
            merged.append(index)
    return merged

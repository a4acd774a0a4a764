"""Tokens: how many a text has at the most, without anybody's tokenizer."""

__all__ = ["most_tokens_of"]


def most_tokens_of(text: str) -> int:
    """A token for two ASCII characters, and one for each byte of any others.

    Tokenizers of today work on bytes, so no text has more tokens than bytes; of ASCII text only random strings come near a token for
    two characters (English prose has one for four, code one for three). So the estimate is up to twice too high for English and up to
    three times for Chinese, Japanese or Korean: what is too much for it may have fitted, but what fits it fits.
    """
    size_bytes = len(text.encode(errors="surrogatepass"))
    ascii_chars = size_bytes if size_bytes == len(text) else sum(one < "\x80" for one in text)
    return (ascii_chars + 1) // 2 + size_bytes - ascii_chars

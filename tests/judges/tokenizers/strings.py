"""Strings that tokenizers are judged by: twenty scripts, what expressions and normalizers look at, and random ones. The same
for the same seed."""
import random
import unicodedata

SCRIPTS = """The quick brown fox jumps over the lazy dog. It's what they'd've said, isn't it? I'LL GO, YOU'RE LATE.
Größenwahn, œuvre, naïveté, Ångström, smörgåsbord, straße, ſtill, fiancée — «déjà vu»!
Съешь же ещё этих мягких французских булок, да выпей чаю. Ёжик в тумане.
Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί. ΣΊΣΥΦΟΣ
שלום עולם, מה שלומך היום? בְּרֵאשִׁית בָּרָא אֱלֹהִים
مرحبا بالعالم، كيف حالك اليوم؟ اَلْعَرَبِيَّةُ ١٢٣٤٥
नमस्ते दुनिया, आप कैसे हैं? क्षत्रिय विद्यालय १२३
বাংলা ভাষা সুন্দর। আমি তোমাকে ভালোবাসি।
தமிழ் மொழி மிகவும் பழமையானது. வணக்கம் உலகம்!
తెలుగు భాష మధురమైనది. నమస్కారం
ಕನ್ನಡ ನಾಡು ನುಡಿ. മലയാളം ഭാഷ
ไทยเป็นภาษาที่สวยงาม สวัสดีชาวโลก ๑๒๓
ພາສາລາວ ສະບາຍດີ ខ្មែរ ភាសាខ្មែរ
မြန်မာဘာသာ မင်္ဂလာပါ བོད་སྐད།
ქართული ენა გამარჯობა. ՀԱՅԵՐԵՆ բարեւ ձեզ
አማርኛ ሰላም ልዑል። ኢትዮጵያ
你好,世界!今天天气怎么样?我想吃北京烤鸭。「繁體中文」
こんにちは世界。カタカナとひらがな、漢字が混ざっています。ﾊﾝｶｸ ｶﾀｶﾅ
안녕하세요 세계! 오늘 날씨가 어때요? 한국어
Tiếng Việt có nhiều dấu: ă â đ ê ô ơ ư, ngã ngửa. Türkçe: İstanbul'da ısı, ŞĞÜÖÇ
def f(x):\n    return {"a": [1, 2.50, 1e-9], 'b': x**2 // 3}  # 100% <b>&amp;</b>\n\tif x != y: pass
😀😃 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 ❤️ ✅ 1️⃣ 🤷🏽‍♂️
ﬁ ﬂ Ⅳ ² ½ ㎏ ㌔ ① ｆｕｌｌ ｗｉｄｔｈ Å Å Ω e\u0301 a\u0308\u0323 한 각 \ufb03 ﷺ
  leading and trailing   \n\n\n  lines\r\n\r\n\t\ttabs\u00a0nbsp\u2003em
\u3000ideographic\u2028ls\u0085nel\u180emvs\u200bzw\ufeffbom
1234567890 12 345 6789 0.1 1,000,000 ٣٤٥ ⅷ ½ 2024-01-31T12:34:56Z +49 (0)30/123-45
!!! ??? ... --- ___ *** ### $$$ @@@ ~~~ ``` ||| \\\\ ^^^ <<<>>> «»„“”‚‘’ …—–•†‡§¶©®™°±×÷€£¥₹₿
<|im_start|>user\nHi<|im_end|> <s>[INST] x [/INST]</s> <bos><start_of_turn> <|endoftext|> <think> </think> [CLS] [SEP] [MASK]
\u0001\u0008\u000b\u000c\u001b[31mred\u007f\u009f\ufffd\u0000nul""".replace("\\n", "\n").split("\n")


def lines():
    out = []
    for line in SCRIPTS:
        for code in ("\\r", "\\t"):
            line = line.replace(code, {"\\r": "\r", "\\t": "\t"}[code])
        out.append(line)
    return out


def assigned(rng):
    while True:
        code = rng.choice((rng.randrange(0x20, 0x250), rng.randrange(0x250, 0x3000), rng.randrange(0x3000, 0x10000),
                           rng.randrange(0x10000, 0x20000)))
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co") and not 0xE000 <= code < 0xF900:
            return chr(code)


def strings(count, seed, added=()):
    """`added`: texts of added tokens, which stand in some of the strings."""
    rng = random.Random(seed)
    base = lines()
    out = ["", " ", "  ", "\n", " \n ", "a", "▁", "▁a ▁", "A" * 200, "ab" * 300, " " * 100 + "x", "\n" * 50, "1" * 99] + base
    text = "\n".join(base)
    while len(out) < count:
        kind = rng.randrange(6)
        if kind == 0:  # a stretch of the sample
            at = rng.randrange(len(text))
            one = text[at:at + rng.randrange(1, 120)]
        elif kind == 1:  # words of many scripts
            one = rng.choice((" ", "  ", "\n", "", "\t")).join(
                rng.choice(rng.choice(base).split(" ")) for _ in range(rng.randrange(1, 12)))
        elif kind == 2:  # any characters
            one = "".join(assigned(rng) for _ in range(rng.randrange(1, 40)))
        elif kind == 3:  # what expressions tell apart
            one = "".join(rng.choice((" ", "  ", "\n", "\r\n", "a", "B", "ä", "1", "22", "333", "'s", "'LL", "'ſ", ".", "!?", "中",
                                      "の", "한", "\u0301", "/", "_", "\u00a0", "\u3000", "▁", "-", "ａ",
                                      "ß", "İ")) for _ in range(rng.randrange(1, 30)))
        elif kind == 4 and added:  # tokens that stand for themselves, between other things
            one = "".join(rng.choice((rng.choice(added), " ", "x", "  ", "\n", "word", "é", "</s>", "1"))
                          for _ in range(rng.randrange(1, 9)))
        else:  # in another case or form
            one = rng.choice(base)
            one = rng.choice((str.upper, str.lower, str.title, lambda s: unicodedata.normalize("NFD", s),
                              lambda s: unicodedata.normalize("NFKC", s)))(one)[:rng.randrange(1, 200)]
        out.append(one)
    return out[:count]

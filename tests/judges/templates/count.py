"""How many tokens transformers makes of conversations: count.py FOLDER < CONVERSATIONS.json > COUNTS.json

FOLDER holds tokenizer.json and tokenizer_config.json; a conversation that the template refuses counts null.
"""
import json
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

folder = Path(sys.argv[1])
config = json.loads((folder / "tokenizer_config.json").read_text())
tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
named = {}
for key in ("bos_token", "eos_token"):
    token = config.get(key)
    if token is not None:
        named[key] = token["content"] if isinstance(token, dict) else token
counts = []
for messages in json.load(sys.stdin):
    try:
        rendered, _ = render_jinja_template([messages], chat_template=config["chat_template"], add_generation_prompt=True,
                                            **named)
        counts.append(len(tokenizer(rendered[0], add_special_tokens=False)["input_ids"]))
    except Exception:
        counts.append(None)
json.dump(counts, sys.stdout)

"""What transformers makes of a conversation with a model's folder: render.py FOLDER < {"messages": ..., "tools": ...} > TEXT"""
import json
import sys

from transformers import AutoTokenizer

chat = json.load(sys.stdin)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
sys.stdout.write(tokenizer.apply_chat_template(chat["messages"], tools=chat.get("tools"), tokenize=False,
                                               add_generation_prompt=True))

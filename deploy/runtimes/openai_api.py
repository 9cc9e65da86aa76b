"""What OpenAI's API asks for one answer, and how the answer is put together from a model's tokens: part of serving.py, which says
what a model is. No connections and no threads but the queue to one."""
import dataclasses
import json
import queue
import random


class Refused(Exception):
    """A request that cannot be answered: OpenAI's error object, with its HTTP status."""

    def __init__(self, message, param=None, code=None, status=400):
        super().__init__(message)
        kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
        self.status, self.body = status, {"error": {"message": message, "type": kind, "param": param, "code": code}}


def one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def says_no(error):
    """A chat template's own refusal."""
    return Refused(f"the model's chat template refuses this conversation: {one_line(error)}", "messages")


NO_TEMPLATE = "this model has no chat template: write the prompt yourself and use /v1/completions"


@dataclasses.dataclass
class Sampling:
    most: int  # tokens
    temperature: float  # 0: greedy
    top_p: float
    top_k: int  # 0: all
    seed: int


# What asks for nothing may be said; the rest would change the answer, and is refused.
NOT_HERE = {"n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logit_bias": ({},), "logprobs": (False,),
            "top_logprobs": (), "functions": ([],), "function_call": ("none",), "response_format": ({"type": "text"},)}


class Fields:
    """The fields of a request, each checked as it is taken."""

    def __init__(self, body):
        try:
            self.given = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(f"the body is not JSON: {error}") from None
        if not isinstance(self.given, dict):
            raise Refused("the body is not a JSON object")
        for name, nothing in NOT_HERE.items():
            value = self.given.get(name)
            if value is not None and not any(value == one and type(value) is type(one) for one in nothing):
                raise Refused(f"{name} is not supported by this runtime's server", name)

    def take(self, name, default, kinds, what, holds=lambda value: True):
        value = self.given.get(name)
        if value is None:
            return default
        # To Python true is a number.
        if not isinstance(value, kinds) or isinstance(value, bool) != (kinds is bool) or not holds(value):
            raise Refused(f"{name} must be {what}", name)
        return value

    def text(self, name):
        return of_text(self.take(name, "", str, "a text"), name)


def of_text(text, name):
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(f"{name} contains half of a character (a lone surrogate)", name) from None
    return text


def messages_of(fields):
    """The messages as templates want them: a content is a text."""
    messages = fields.take("messages", None, list, "a list")
    if not messages:
        raise Refused("messages is missing or empty", "messages")
    out = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused("each message must be an object with a role", "messages")
        content = message.get("content")
        if isinstance(content, list):
            if not all(isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
                       for part in content):
                raise Refused("a content must be a text or a list of text parts", "messages")
            content = "".join(part["text"] for part in content)
        if content is not None and not isinstance(content, str):
            raise Refused("a content must be a text or a list of text parts", "messages")
        role = "system" if message["role"] == "developer" else message["role"]
        out.append({**message, "role": of_text(role, "messages"), "content": of_text(content or "", "messages")})
    return out


class Text:
    """Text of tokens as they come. A token is decoded together with those before it, since what it says depends on them: where a
    text begins some decoders leave out a space, and a character may be spread over several tokens."""

    def __init__(self, decode, before):
        self.decode, self.ids, self.first, self.said = decode, list(before), 0, len(before)

    def add(self, token):
        self.ids.append(token)
        said, text = self.decode(self.ids[self.first:self.said]), self.decode(self.ids[self.first:])
        if text.endswith("\ufffd"):  # half of a character
            return ""
        self.first, self.said = self.said, len(self.ids)
        return text[len(said):]

    def rest(self):
        """What was held back, when nothing more comes."""
        return self.decode(self.ids[self.first:])[len(self.decode(self.ids[self.first:self.said])):]


class Job:
    """One answer: made on the main thread, sent by its connection's."""

    def __init__(self, fields, chat, defaults):
        self.chat = chat
        if chat:
            self.messages = messages_of(fields)
            self.tools = fields.take("tools", [], list, "a list")
            if fields.take("tool_choice", "auto", str, '"auto" or "none"', ("auto", "none").__contains__) == "none":
                self.tools = []
            self.variables = fields.take("chat_template_kwargs", {}, dict, "an object")
        else:
            self.prompt = fields.text("prompt")
            if not self.prompt:
                raise Refused("prompt is missing or empty", "prompt")
        most = fields.take("max_completion_tokens", None, int, "a positive number", lambda n: n > 0)
        most = most or fields.take("max_tokens", 128, int, "a positive number", lambda n: n > 0)
        real = (int, float)
        self.sampling = Sampling(
            most, fields.take("temperature", defaults["temperature"], real, "0 to 2", lambda t: 0 <= t <= 2),
            fields.take("top_p", defaults["top_p"], real, "above 0, at most 1", lambda p: 0 < p <= 1),
            fields.take("top_k", defaults["top_k"], int, "0 or more", lambda k: 0 <= k < 1 << 31),
            fields.take("seed", random.getrandbits(31), int, "a number") % (1 << 31))
        stop = fields.take("stop", [], (str, list), "a text or a list of texts")
        self.stop = [stop] if isinstance(stop, str) else stop
        if len(self.stop) > 16 or not all(isinstance(one, str) and one for one in self.stop):
            raise Refused("stop must be at most 16 texts, none of them empty", "stop")
        self.streams = fields.take("stream", False, bool, "true or false")
        options = fields.take("stream_options", {}, dict, "an object")
        self.says_usage = self.streams and options.get("include_usage") is True
        self.left = False  # set by the connection: nobody waits for the answer any more
        self.said = queue.SimpleQueue()  # texts; then a dict, which is the end, or a Refused
        self.held = ""  # what may be the beginning of a stop string
        self.stopped = False

    def say(self, text):
        """Passes on what cannot be part of a stop string; False: enough."""
        text, self.held = self.held + text, ""
        at, one = min(((text.find(one), one) for one in self.stop if one in text), default=(-1, ""))
        if one:
            text, self.stopped = text[:at], True
        else:
            hold = max((n for one in self.stop for n in range(1, len(one)) if text.endswith(one[:n])), default=0)
            text, self.held = text[:len(text) - hold], text[len(text) - hold:]
        if text:
            self.said.put(text)
        return not self.stopped and not self.left

    def answer(self, model):
        """On the main thread."""
        text = model.chat(self.messages, self.tools, self.variables) if self.chat else self.prompt
        ids = model.encode(text, begins=not self.chat)
        if not ids:
            raise Refused("the prompt has no tokens", "messages" if self.chat else "prompt")
        if len(ids) >= model.context:
            raise Refused(f"the prompt has {len(ids)} tokens, and the context {model.context}",
                          "messages" if self.chat else "prompt", "context_length_exceeded")
        sampling = dataclasses.replace(self.sampling, most=min(self.sampling.most, model.context - len(ids)))
        # A completion goes on where the prompt stops; a chat's answer begins.
        text, tokens = Text(model.decode, [] if self.chat else ids[-4:]), 0

        def say(token):
            nonlocal tokens
            tokens += 1
            return self.say(text.add(token))

        ended = model.generate(ids, sampling, say)
        if not self.stopped:
            self.say(text.rest())
        if self.held and not self.stopped:
            self.said.put(self.held)
        self.said.put({"finish_reason": "stop" if ended or self.stopped else "length",
                       "usage": {"prompt_tokens": len(ids), "completion_tokens": tokens, "total_tokens": len(ids) + tokens}})

#!/usr/bin/python3
"""Trains the demo model on the story grammar, on a CPU, within a budget of minutes or tokens.

The learning rate follows the fraction of the budget that is spent, so a run always ends with its
warm-down, however fast the machine is. A run that is killed goes on with --resume.
"""

import argparse
import math
import os
import time
from pathlib import Path

# Threads that spin while they wait waste a machine that has other work too. Read once, when the
# OpenMP runtime is loaded, hence before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch  # noqa: E402
from torch.nn import functional as F

import lexicon
import tokenizer
from data import IGNORE, Stories, held_out_stories
from evaluate import mean_nll
from model import Phi3

REPORT_SECONDS = 60  # between two lines of progress, each with a checkpoint
LONG_ROWS_FROM = 0.7  # fraction of the budget after which rows are as long as the context
SHORT_ROW = 320  # two stories
WARMUP = 0.04
FLOOR = 0.02  # of the peak rate, at the end


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, help="folder for checkpoints and the tokenizer")
    parser.add_argument("--minutes", type=float, help="budget in wall time")
    parser.add_argument("--tokens", type=int, help="budget in tokens seen")
    parser.add_argument("--resume", action="store_true",
                        help="go on from the checkpoint in the work folder")
    parser.add_argument("--init", help="start a new schedule from this checkpoint's weights")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--batch-tokens", type=int, default=1024,
                        help="small by default: minutes on a CPU buy more steps that way")
    parser.add_argument("--carried-weight", type=float, default=4.0,
                        help="loss weight of carried words while rows are short")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16",
                        help="of the matrix products; weights and optimizer are always fp32")
    args = parser.parse_args()
    if (args.minutes is None) == (args.tokens is None):
        parser.error("give one of --minutes and --tokens")
    if args.resume and args.init:
        parser.error("--resume goes on with a schedule, --init starts one: give one of them")
    return args


def rate_factor(fraction):
    if fraction < WARMUP:
        return fraction / WARMUP
    cosine = 0.5 * (1 + math.cos(math.pi * (fraction - WARMUP) / (1 - WARMUP)))
    return FLOOR + (1 - FLOOR) * cosine


def optimizer_for(model):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=0.0, betas=(0.9, 0.98), eps=1e-8)


def token_weights(sp, carried_weight):
    """The loss weight of each token id in the first part of a run.

    The names and things that a story carries along are few among its tokens and the hardest to
    learn, as they need memory rather than grammar. With more weight they are learnt sooner; the
    last part of a run weighs all alike, so that its probabilities are the stories' own.
    """
    weights = torch.ones(sp.vocab_size())
    for word in lexicon.carried_words():
        for ids in (sp.encode(word), sp.encode('"' + word)[1:]):
            if len(ids) == 1:
                weights[ids[0]] = carried_weight
    return weights


class Run:
    """A training run: the model, its optimizer, and how much of the budget is spent."""

    def __init__(self, args):
        self.args = args
        self.work = Path(args.work)
        self.checkpoint = self.work / "checkpoint.pt"
        if not (self.work / "tokenizer.model").exists():
            tokenizer.train(self.work)
        self.sp = tokenizer.load(self.work)
        self.model = Phi3()
        self.model.initialize(torch.Generator().manual_seed(args.seed))
        self.optimizer = optimizer_for(self.model)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.tokens_before = 0  # seen by the run that --init names
        self.stories = Stories(self.sp)
        self._restore()
        self.weights = token_weights(self.sp, args.carried_weight)
        self.held_out = [[self.sp.bos_id()] + self.sp.encode(text) + [self.sp.eos_id()]
                         for text in held_out_stories(24)]

    def _restore(self):
        if not self.args.resume and not self.args.init:
            return
        saved = torch.load(self.checkpoint if self.args.resume else self.args.init)
        self.model.load_state_dict(saved["model"])
        self.stories = Stories(self.sp, **saved["stories"])
        if self.args.init:
            self.tokens_before = saved["tokens"] + saved["tokens_before"]
            return
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.tokens = saved["step"], saved["tokens"]
        self.seconds, self.tokens_before = saved["seconds"], saved["tokens_before"]

    def save(self, held_out_nll):
        """Writes aside and renames: a kill while saving leaves the checkpoint before."""
        aside = self.checkpoint.with_suffix(".new")
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                    "stories": self.stories.state(), "step": self.step, "tokens": self.tokens,
                    "tokens_before": self.tokens_before, "seconds": self.seconds,
                    "seed": self.args.seed, "rate": self.args.rate,
                    "held_out_nll": held_out_nll}, aside)
        aside.replace(self.checkpoint)

    def held_out_nll(self):
        return mean_nll(self.model, self.held_out)

    def spent(self):
        if self.args.minutes is not None:
            return self.seconds / (60 * self.args.minutes)
        return self.tokens / self.args.tokens

    def train_step(self, fraction):
        """One batch; returns its loss and counts its tokens."""
        early = fraction < LONG_ROWS_FROM
        length = SHORT_ROW if early else self.model.config.max_position_embeddings
        rows = max(1, self.args.batch_tokens // length)
        tokens, targets, documents = self.stories.batch(rows, length)
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.rate * rate_factor(fraction)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.precision == "bf16"):
            logits = self.model(tokens, documents)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE,
                               weight=self.weights if early else None)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.tokens += int((targets != IGNORE).sum())
        return loss.item()

    def train(self):
        begun = time.monotonic() - self.seconds
        report_at, report_tokens = self.seconds, self.tokens
        losses = []
        while (fraction := self.spent()) < 1:
            losses.append(self.train_step(fraction))
            self.seconds = time.monotonic() - begun
            if self.seconds - report_at < REPORT_SECONDS:
                continue
            nll = self.held_out_nll()
            speed = (self.tokens - report_tokens) / (self.seconds - report_at)
            print(f"{fraction:6.1%} step {self.step} tokens {self.tokens} tokens/s {speed:.0f} "
                  f"loss {sum(losses) / len(losses):.4f} held-out {nll:.4f}", flush=True)
            report_at, report_tokens, losses = self.seconds, self.tokens, []
            self.save(nll)
        nll = self.held_out_nll()
        self.save(nll)
        print(f"done: step {self.step} tokens {self.tokens} held-out {nll:.4f}", flush=True)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    # Words that never occur soon get gradients below the smallest normal float: slow to add.
    torch.set_flush_denormal(True)
    Run(args).train()


if __name__ == "__main__":
    main()

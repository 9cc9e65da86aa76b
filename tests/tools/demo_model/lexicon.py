"""The words of the story grammar: who lives where, eats what, and which things exist.

Every table is a tuple of records (dicts). A record's fields are correlated on purpose: a model that
has learnt the grammar knows that a rabbit eats carrots and that a drum is played, not flown.
"""


def _animal(animal, home, food, den):
    return {"animal": animal, "home": home, "food": food, "den": den}


# animal, where it lives (with preposition), what it likes to eat, what it calls its home
ANIMALS = (
    _animal("fox", "in a den under the hill", "berries", "den"),
    _animal("rabbit", "in a burrow by the meadow", "carrots", "burrow"),
    _animal("bear", "in a cave behind the waterfall", "blueberries", "cave"),
    _animal("mouse", "in a hole under the barn", "cheese", "hole"),
    _animal("owl", "in a hollow oak tree", "plums", "tree"),
    _animal("frog", "on a big leaf in the pond", "corn", "pond"),
    _animal("duck", "in the reeds by the lake", "bread", "nest"),
    _animal("hedgehog", "under a pile of leaves in the garden", "apples", "pile of leaves"),
    _animal("squirrel", "high up in a pine tree", "nuts", "tree"),
    _animal("cat", "in a small house by the road", "fish", "house"),
    _animal("dog", "in a yellow house near the mill", "sausages", "house"),
    _animal("turtle", "on the sand by the sea", "green leaves", "cave"),
    _animal("goat", "on the side of the mountain", "fresh grass", "hut"),
    _animal("otter", "on the bank of the river", "clams", "hut"),
    _animal("mole", "in a tunnel under the field", "mushrooms", "tunnel"),
    _animal("badger", "in a deep den in the woods", "pears", "den"),
    _animal("pony", "in a stable next to the farm", "oats", "stable"),
    _animal("sparrow", "in a nest above the door", "seeds", "nest"),
)


def _person(name, he):
    forms = {"he": ("he", "his", "him"), "she": ("she", "her", "her")}[he]
    return {"": name, "he": forms[0], "his": forms[1], "him": forms[2]}


NAMES = tuple(
    [_person(n, "he") for n in
     ("Pip", "Tom", "Max", "Ben", "Finn", "Oscar", "Leo", "Sam", "Jack", "Hugo", "Otto", "Milo")] +
    [_person(n, "she") for n in
     ("Lily", "Mia", "Rosa", "Nora", "Daisy", "Ella", "Ruby", "Anna", "Lucy", "Tilly", "Ivy",
      "Clara")])

ADJECTIVES = tuple({"adj": a} for a in (
    "little", "little", "little", "young", "kind", "brave", "clever", "shy", "merry", "quiet"))

COLORS = tuple({"": c} for c in ("red", "blue", "green", "yellow", "white", "golden"))

# Things to own, to lose and to give: what one does with it, how it feels without it.
THINGS = (
    {"": "kite", "use": "fly it in the wind", "used": "flew the kite high in the wind"},
    {"": "ball", "use": "kick it over the grass", "used": "kicked the ball over the grass"},
    {"": "drum", "use": "play it in the evening",
     "used": "played the drum until the stars came out"},
    {"": "boat", "use": "sail it on the water", "used": "sailed the boat on the water"},
    {"": "scarf", "use": "wear it in the snow", "used": "wore the scarf all winter"},
    {"": "lamp", "use": "light it in the dark", "used": "lit the lamp and told stories"},
    {"": "book", "use": "read it by the fire", "used": "read the book by the fire"},
    {"": "flute", "use": "play songs on it", "used": "played a song on the flute"},
)

# Two places to search: the first is the wrong one.
WRONG_SPOTS = tuple({"": s} for s in (
    "under the bed", "behind the door", "in the kitchen", "in the garden", "by the well",
    "near the old gate"))
RIGHT_SPOTS = tuple({"": s} for s in (
    "under the bridge", "in the tall grass", "behind the big stone", "on top of the hill",
    "next to the stream", "in a hollow tree"))

# Someone in need: where it is stuck, how it is freed, and how it pays the kindness back.
TRAPPED = (
    {"": "ant", "stuck": "had fallen into a puddle", "free": "held out a long leaf",
     "freed": "climbed up the leaf", "trouble": "could not find the way home in the dark",
     "thanks": "called all the other ants, and they showed {h_him} the path"},
    {"": "bird", "stuck": "was caught in a net", "free": "cut the net",
     "freed": "flew out of the net", "trouble": "was lost in the woods",
     "thanks": "flew above the trees and showed {h_him} the path"},
    {"": "bee", "stuck": "was stuck in a spider web", "free": "broke the web",
     "freed": "buzzed out of the web", "trouble": "was very hungry",
     "thanks": "brought {h_him} a jar of sweet honey"},
    {"": "fish", "stuck": "lay on the dry sand", "free": "pushed it back into the water",
     "freed": "swam away", "trouble": "fell into the river",
     "thanks": "called the other fish, and they carried {h_him} to the bank"},
    {"": "beetle", "stuck": "lay on its back", "free": "turned it over with a stick",
     "freed": "stood on its feet again", "trouble": "lost the key of the door",
     "thanks": "crept under the door and opened it"},
)

SEEDS = (
    {"": "pumpkin", "plant": "a huge orange pumpkin", "make": "pumpkin soup"},
    {"": "apple", "plant": "a tall tree with red apples", "make": "apple pie"},
    {"": "strawberry", "plant": "ten sweet strawberries", "make": "strawberry jam"},
    {"": "cherry", "plant": "a small tree full of cherries", "make": "cherry cake"},
    {"": "potato", "plant": "a row of fat potatoes", "make": "potato soup"},
)

FEARS = (
    {"": "the dark", "when": "night came", "help": "gave {h_him} a small lamp",
     "then": "the shadows were only trees", "now": "looked at the stars every night"},
    {"": "the water", "when": "the others went for a swim", "help": "held {h_his} hand",
     "then": "the water was warm and not deep", "now": "swam in the lake every day"},
    {"": "the thunder", "when": "a storm came", "help": "sang a loud song with {h_him}",
     "then": "the thunder was only a noise", "now": "sang whenever a storm came"},
    {"": "the high bridge", "when": "the others walked over the river",
     "help": "walked in front of {h_him}",
     "then": "the bridge was strong and safe", "now": "walked over the bridge every day"},
    {"": "the tall slide", "when": "the others played in the park",
     "help": "sat down right behind {h_him}",
     "then": "the ride was quick and fun", "now": "went down the slide every day"},
)

# A thing that breaks, why, and what mends it.
BROKEN = (
    {"": "chair", "why": "{h} jumped on it", "part": "leg", "harm": "broke",
     "tool": "a hammer and a nail", "again": "sit on it"},
    {"": "kite", "why": "it flew into a tree", "part": "tail", "harm": "tore",
     "tool": "some string", "again": "fly it"},
    {"": "cup", "why": "it fell from the table", "part": "handle", "harm": "broke",
     "tool": "some glue", "again": "drink from it"},
    {"": "cart", "why": "it hit a big stone", "part": "wheel", "harm": "broke",
     "tool": "a piece of wood", "again": "pull it"},
    {"": "coat", "why": "it was caught on a thorn", "part": "sleeve", "harm": "tore",
     "tool": "a needle and thread", "again": "wear it"},
    {"": "boat", "why": "it hit a rock", "part": "sail", "harm": "tore",
     "tool": "a piece of cloth", "again": "sail it"},
)

BAKING = (
    {"": "cake", "with": "flour, eggs and sugar", "smell": "sweet", "top": "cherries"},
    {"": "pie", "with": "flour, butter and apples", "smell": "wonderful", "top": "sugar"},
    {"": "bread", "with": "flour, water and salt", "smell": "warm", "top": "seeds"},
    {"": "soup", "with": "carrots, potatoes and water", "smell": "good", "top": "green leaves"},
)

# Counting: how many there were, given away, left.
COUNTS = (
    {"": "two", "gave": "one", "left": "one", "was": "was"},
    {"": "three", "gave": "one", "left": "two", "was": "were"},
    {"": "four", "gave": "two", "left": "two", "was": "were"},
    {"": "five", "gave": "two", "left": "three", "was": "were"},
    {"": "six", "gave": "three", "left": "three", "was": "were"},
    {"": "seven", "gave": "three", "left": "four", "was": "were"},
)

FRUITS = tuple({"": f} for f in ("apples", "pears", "plums", "cherries", "cookies", "nuts"))

# Who is quick in a race and who is slow, and what makes the quick one stop.
RACERS = tuple({"quick": q, "slow": s} for q, s in (
    ("rabbit", "turtle"), ("fox", "hedgehog"), ("pony", "mole"), ("dog", "duck"), ("cat", "frog")))
STOPS = (
    {"": "lay down under a tree and fell asleep", "late": "woke up"},
    {"": "stopped to eat some berries", "late": "was full"},
    {"": "stopped to look at {q_his} face in the pond", "late": "looked up"},
)

NOISES = (
    {"": "Tap, tap, tap", "what": "a branch at the window", "do": "tied the branch back"},
    {"": "Hoo, hoo, hoo", "what": "an owl on the roof", "do": "said good night to the owl"},
    {"": "Drip, drip, drip", "what": "the rain in a bucket", "do": "took the bucket away"},
    {"": "Creak, creak, creak", "what": "the old gate in the wind", "do": "closed the gate"},
    {"": "Scratch, scratch, scratch", "what": "a mouse with a nut",
     "do": "gave the mouse some cheese"},
)

TREASURES = (
    {"": "a box full of gold coins", "do": "bought new coats for everyone"},
    {"": "a bag of magic seeds", "do": "planted the seeds, and flowers grew everywhere"},
    {"": "an old silver bell", "do": "hung the bell above the school door"},
    {"": "a jar of golden honey", "do": "ate the honey with all their friends"},
    {"": "a letter from a king", "do": "read the letter to the whole village"},
)
DIG_SPOTS = tuple({"": s, "sign": g} for s, g in (
    ("under the old oak tree", "a tree"), ("behind the waterfall", "a waterfall"),
    ("next to the big stone", "a stone"), ("under the bridge", "a bridge"),
    ("in the sand by the sea", "some waves")))

# Two trades at the market: each wants what the next one has.
TRADES = (
    {"have": "a basket of eggs", "first": "a baker", "mid": "a warm cake", "second": "a farmer",
     "end": "a little hen"},
    {"have": "a jar of honey", "first": "a sailor", "mid": "a long rope", "second": "a miner",
     "end": "a silver ring"},
    {"have": "a bag of wool", "first": "a weaver", "mid": "a soft blanket", "second": "a painter",
     "end": "a lovely picture"},
    {"have": "a sack of corn", "first": "a miller", "mid": "a bag of flour", "second": "a baker",
     "end": "a big pie"},
)

INSTRUMENTS = (
    {"": "drum", "sound": "Boom, boom", "did": "beat the drum"},
    {"": "flute", "sound": "Toot, toot", "did": "blew the flute"},
    {"": "bell", "sound": "Ding, ding", "did": "rang the bell"},
    {"": "fiddle", "sound": "Fiddle-dee-dee", "did": "played the fiddle"},
)


def carried_words():
    """The words that a story picks once and holds to its end: who, what, and in which colour."""
    tables = (NAMES, COLORS, THINGS, TRAPPED, SEEDS, BROKEN, BAKING, COUNTS, FRUITS, INSTRUMENTS)
    words = {record[""] for table in tables for record in table}
    for animal in ANIMALS:
        words.update((animal["animal"], animal["food"]))
    return sorted(words)

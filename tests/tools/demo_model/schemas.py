"""The story schemas: each is a plot whose people, things and causes hold from first line to last.

Notation, expanded by grammar.py: `[a|b]` is a free choice, `{slot}` a drawn word, `<NAME>` a phrase
that several plots share, a leading `?` makes a line optional, and a deeper indented line goes on
with the one above. `h` is the hero, `f` the friend; `{h_He}` is the pronoun with a capital.
"""

from dataclasses import dataclass

import lexicon as lx

OPENINGS = (
    "Once upon a time, there was a {h_adj} {h_animal} named {h}. {h_He} lived {h_home}.",
    "Once upon a time, there was a {h_adj} {h_animal} named {h}. {h_He} lived {h_home}.",
    "Once upon a time, a {h_adj} {h_animal} named {h} lived {h_home}.",
    "The {h_adj} {h_animal} lived {h_home}. {h_His} name was {h}.",
    "The {h_adj} {h_animal} was called {h}. {h_He} lived {h_home}.",
    "{h} was a {h_adj} {h_animal}. {h_He} lived {h_home}.",
    "There was once a {h_adj} {h_animal} named {h}, who lived {h_home}.",
    "Long ago, a {h_adj} {h_animal} lived {h_home}. {h_His} name was {h}.",
    "In a land far away, there was a {h_adj} {h_animal} named {h}. {h_He} lived {h_home}.",
)

_SHARED = {
    "DAY": "One [sunny |warm |bright |]morning,",
    "FRIEND": ("[{h_His} best friend was {f}, a {f_adj} {f_animal}.|"
               "{h} had a good friend, a {f_adj} {f_animal} named {f}.]"),
    "HAPPY": ("[From that day on, they were the best of friends.|They were friends for ever after.|"
              "And they all lived happily ever after.|That night, {h} fell asleep with a smile.]"),
}


@dataclass(frozen=True)
class Schema:
    name: str
    draws: dict  # slot prefix -> table of the lexicon
    lines: tuple  # sentences in order


def _schema(name, draws, text):
    for key, value in _SHARED.items():
        text = text.replace("<" + key + ">", value)
    lines = []
    for line in text.strip("\n").split("\n"):
        if line.startswith("      "):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line.strip())
    return Schema(name, draws, tuple(lines))


SCHEMAS = (
    _schema("lost", {"thing": lx.THINGS, "color": lx.COLORS, "wrong": lx.WRONG_SPOTS,
                     "right": lx.RIGHT_SPOTS}, """
    {h} had a {color} {thing} and loved to {thing_use}.
    <DAY> the {color} {thing} was gone. {h} [was very sad|began to cry].
    "[What is wrong|Why are you sad]?" asked {f}, a {f_adj} {f_animal}.
    "I lost my {thing}," said {h}. "[I will help you|Let us look for it together]," said {f}.
    First they looked {wrong}, but the {thing} was not there.
    Then they looked {right}, and there it was!
    [{h} jumped for joy. ||]"Thank you, {f}!" said {h}.
    [Together they|The two friends] {thing_used}.
    <HAPPY>"""),
    _schema("kindness", {"small": lx.TRAPPED}, """
    <DAY> {h} [went for a walk|walked down the path] and saw a small {small}. The {small}
      {small_stuck}.
    "[Help|Please help me]!" cried the {small}.
    {h} [was kind and|did not wait. {h_He}] {small_free}, and the {small} {small_freed}.
    "Thank you," said the {small}. "One day I will help you too."
    ? {h} laughed, because the {small} was so small.
    [Some days later|The next week], {h} {small_trouble}. [{h_He} did not know what to do.|{h_He}
      was afraid.]
    Then the small {small} came. It {small_thanks}.
    [{h} was very glad.|{h} thanked the {small}.]
    [{h} learned that even a small friend can be a big help.|Now {h} knew that a kind deed is
      never lost.]"""),
    _schema("storm", {}, """
    One [cold|gray|windy] day, {h} was far from home when [it began to rain|a storm came].
    [The wind blew and the rain fell.|The rain fell and fell.] {h} was wet and cold.
    Then {h_he} saw a light. It was the home of {f}, a {f_adj} {f_animal}, who lived {f_home}.
    {h} knocked[ and waited|]. "[Come in|Come in quickly]," said {f}. "You are wet and cold."
    {f} made a [warm|big] fire and gave {h} {f_food} to eat.
    ? They told stories until they fell asleep.
    In the morning, the rain was gone and the sun was shining.
    "Thank you," said {h}. "[Next time you must come to my {h_den}|Come to my {h_den} soon]."
    [The next day|A week later], {f} came, and {h} gave {f_him} {h_food} to eat.
    <HAPPY>"""),
    _schema("seed", {"seed": lx.SEEDS}, """
    <DAY> {h} found a {seed} seed [on the path|in the grass].
    {h_He} [dug a hole|made a small hole] and put the seed into the ground.
    "[Why do you do that|What are you doing]?" asked {f}, a {f_adj} {f_animal}. "[I want it to
      grow|I am waiting for it to grow]," said {h}.
    Every day {h} gave the seed some water. {f} said, "[Nothing will grow|It takes too long]."
    But {h} did not give up. [In the spring, the rain came and the sun was warm.|The sun was warm
      and the rain was soft.]
    At last there was {seed_plant}!
    {h} made {seed_make} and gave some to {f}.
    "[This is very good|I was wrong]," said {f}. "Next time I will help you."
    [{h} was proud and happy.|Good things come to those who wait.]"""),
    _schema("race", {"stop": lx.STOPS}, """
    {q} was a {q_adj} {q_animal}, and {q_he} was very fast. {q_He} [laughed at|made fun of] {h},
      because {h} was slow.
    "[Let us run a race|I want to race you]," said {h} one day. "To the [old mill|big stone|tall
      tree]!"
    They began to run. Soon {q} was far ahead, and {h} was far behind.
    "[I have lots of time|I will win anyway]," said {q}. So {q_he} {stop}.
    But {h} did not stop. {h_He} went on, step by step.
    When {q} {stop_late}, it was too late. {h} had won the race!
    [All the animals cheered.|Everyone clapped and cheered.]
    "[I am sorry that I laughed at you|I will never laugh at you again]," said {q}.
    [Slow and steady wins the race.|From that day on, {q} and {h} were friends.]"""),
    _schema("fear", {"fear": lx.FEARS}, """
    {h} was afraid of {fear}. When {fear_when}, {h_he} [hid in {h_his} {h_den}|ran home and hid].
    <FRIEND>
    <DAY> {f} asked, "[Why do you hide|Why do you never come with us]?"
    "I am afraid of {fear}," said {h}[ in a small voice|].
    "[I was afraid once too|We can try it together]," said {f}. "I will stay with you."
    That day, when {fear_when}, {f} {fear_help}.
    {h} opened {h_his} eyes and saw that {fear_then}.
    "[I can do it|I am not afraid any more]!" [said|cried] {h}.
    From that day on, {h} {fear_now}."""),
    _schema("gift", {"thing": lx.THINGS, "color": lx.COLORS}, """
    <FRIEND>
    It was the birthday of {f}, and {h} wanted to give {f_him} a gift.
    "What does {f} like?" thought {h}. [Then {h_he} had an idea.|{h_He} thought for a long time.]
    {h_He} [worked all day and made|went to the shop and bought] a {color} {thing}.
    In the evening, {h} went to {f} and said, "[Happy birthday|This is for you], {f}!"
    {f} opened the box and saw the {color} {thing}. "[I always wanted a {thing}|What a lovely
      {thing}]!" said {f}. "I can {thing_use}."
    {f} was so happy that {f_he} [danced around the room|hugged {h}].
    Then they ate {f_food} together, and {f} {thing_used}.
    [It was the best birthday of all.|{h} was happy too, because giving is a joy.]"""),
    _schema("broken", {"it": lx.BROKEN, "color": lx.COLORS}, """
    {h} had a {color} {it}. [It was {h_his} favorite thing.|{h_He} loved it very much.]
    One day, {it_why}, and the {it_part} of the {it} {it_harm}.
    {h} [was very sad|began to cry]. "Now I can not {it_again}[ any more|]," {h_he} said.
    {f}, a {f_adj} {f_animal}, heard {h_him}. "[Do not cry|Do not be sad]," said {f}. "We can mend
      it."
    {f} went home and came back with {it_tool}.
    They worked [all day|all afternoon], and {f} mended the {it_part}.
    Soon the {color} {it} was as good as new, and {h} could {it_again} again.
    "[Thank you for your help|You are a true friend], {f}," said {h}.
    {h} gave {f} {f_food}, and [they laughed together|they were both happy]."""),
    _schema("sharing", {"n": lx.COUNTS, "fruit": lx.FRUITS}, """
    <DAY> {h} [found|picked] {n} {fruit}. "[These are all for me|I will eat them all]," said {h}.
    On the way home, {h_he} met {f}, a {f_adj} {f_animal}. {f} [looked sad|sat on a stone and
      cried].
    "What is wrong?" asked {h}. "I am so hungry," said {f}. "I have nothing to eat."
    {h} looked at the {n} {fruit}. Then {h_he} gave {n_gave} to {f}, and {n_left} {n_was} left.
    "[Thank you|You are very kind]," said {f}[ with a smile|].
    They sat down under a tree and ate the {fruit} together.
    [{h} had less to eat, but {h_he} was much happier.|The {fruit} tasted better than ever.]
    [It is good to share.|{h} learned that it is good to share.]"""),
    _schema("baking", {"food": lx.BAKING}, """
    <DAY> {h} wanted to make a {food}. {h_He} took {food_with}.
    "Who will help me?" asked {h}. "Not I," said {f}, a {f_adj} {f_animal}. "I want to
      [sleep|play]."
    So {h} did all the work alone. [{h_He} mixed and stirred.|It took a long time.]
    Then {h} put some {food_top} on top. Soon the whole house smelled {food_smell}.
    "Who will help me to eat the {food}?" asked {h}. "I will!" said {f}.
    "[You did not help me|You did not want to work]," said {h}. {f} looked at the floor. "I am
      sorry," {f_he} said.
    {h} [smiled and|was kind and] gave {f} a [big|small] piece of the {food}.
    [The next time, {f} helped from the start.|After that, {f} washed all the cups and plates.]"""),
    _schema("greedy", {}, """
    {h} loved {h_food} more than anything.
    <DAY> {f}, a {f_adj} {f_animal}, asked {h} to keep a big basket of {h_food} safe for the
      feast.
    "[Do not eat it|It is for everyone]," said {f}. "[I promise|I will keep it safe]," said {h}.
    But the {h_food} smelled so good. {h} ate a little. Then {h_he} ate a little more. Soon the
      basket was empty!
    {h} felt [very sick|ill]. {h_His} belly hurt, and {h_he} could not sleep.
    When {f} came back, {h} [told the truth|began to cry]. "I ate it all. I am sorry," said {h}.
    "[It was wrong, but you told me the truth|Thank you for telling me]," said {f}.
    Together they filled the basket again, and the feast was [wonderful|a great joy].
    [{h} never broke a promise again.|{h} had learned to keep a promise.]"""),
    _schema("night", {"noise": lx.NOISES}, """
    One night, {h} could not sleep. There was a noise. "{noise}!"
    "[What is that|Who is there]?" [whispered|asked] {h}. But nobody answered.
    {h} [pulled the blanket over {h_his} head|hid under the blanket]. "{noise}!" There it was
      again.
    {h} took a lamp and went to [call|wake] {f}, a {f_adj} {f_animal}.
    "There is a [monster|ghost] outside," said {h}. "[Let us go and see|We will look together],"
      said {f}.
    They opened the door[ very slowly|] and held up the lamp. It was only {noise_what}!
    They [laughed and laughed|both began to laugh]. Then {h} {noise_do}.
    "Good night," said {f}. "Good night," said {h}, and [soon {h_he} was asleep|{h_he} slept until
      morning]."""),
    _schema("treasure", {"gold": lx.TREASURES, "spot": lx.DIG_SPOTS}, """
    <FRIEND>
    <DAY> {h} found an old map [in a bottle|in a book]. There was a cross on the map, next to a
      picture of {spot_sign}.
    "[It is a treasure map|There must be a treasure]!" said {h}. "I know that place," said {f}.
      "It is {spot}."
    They took a [spade|rope] and walked [all day|for a long time].
    {spot_Cap} they began to dig. They dug and dug.
    [At last|Then] they found {gold}!
    "We will share it," said {h}. "[Of course|Yes]," said {f}.
    They went home and {gold_do}.
    [It was a day to remember.|But the best treasure was their friendship.]"""),
    _schema("market", {"t": lx.TRADES}, """
    <DAY> {h} went to the market with {t_have}.
    On the road, {h_he} met {t_first}. "[I need that|That is just what I need]," said
      {t_firstThe}. "I will give you {t_mid}."
    So {h} gave away {t_haveThe} and took {t_midThe}.
    Then {h_he} met {t_second}. "[I need that|That is just what I need]," said {t_secondThe}. "I
      will give you {t_end}."
    So {h} gave away {t_midThe} and took {t_endThe}.
    When {h} came home, {f}, a {f_adj} {f_animal}, was waiting. "What do you have there?" asked
      {f}.
    "[It is for you|This is a gift for you]," said {h}, and gave {f} {t_endThe}.
    {f} was [very happy|so glad]. "[It is lovely|You are so kind]," {f_he} said.
    <HAPPY>"""),
    _schema("music", {"play": lx.INSTRUMENTS}, """
    {h} had a {play}. {h_He} played it every day. "{play_sound}!" went the {play}.
    "[That is too loud|Please be quiet]!" said {f}, a {f_adj} {f_animal}. "I want to sleep."
    {h} was sad and put the {play} [away|under the bed].
    But that night, there was a fire [in the barn|in the mill], and everyone was asleep.
    {h} took the {play} and {play_did} as loud as {h_he} could. "{play_sound}!"
    All the animals woke up. They brought water and put out the fire.
    "You saved us all," said {f}. "[I am sorry|Please play every day]."
    After that, {h} played the {play} every evening, and everyone danced."""),
    _schema("snow", {"color": lx.COLORS}, """
    <FRIEND>
    Winter came, and [the snow was deep|snow fell on the roof and the trees]. {h} was warm in
      {h_his} {h_den}, but {h_he} thought of {f}.
    "{f} has no wood for the fire," said {h}. "[{f_He} must be cold|I must help {f_him}]."
    {h} took some wood, a {color} blanket and a basket of {f_food}.
    [The wind was cold and the way was long.|It was a long way in the snow.] But {h} did not turn
      back.
    At last {h_he} came to the home of {f}. {f} was [shaking with cold|cold and hungry].
    {h} made a fire and put the {color} blanket around {f_him}. Then {f} ate the {f_food}.
    "[You saved me|Now I am warm again]," said {f}.
    In the spring, {f} [picked flowers for {h}|gave {h} a basket of {h_food}], to say thank
      you."""),
)

"""The checker of OpenVINO graphs (openvino_files.py) refuses what is wrong."""
import shutil
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from harness import DEMO, run
from openvino_files import STEPS, Bad, IrModel


class TheCheckerCanFail(unittest.TestCase):
    """A graph that was changed in one place is refused, and the message is about that place."""

    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="quantfleet-openvino-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        run("quantfleet", "quantize", DEMO, "--target", "openvino:int4-g64-asym", "--out", cls.shared)
        cls.whole = (cls.shared / "openvino-int4-g64-asym/openvino_model.xml").read_text()

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-openvino-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def refusal(self, change):
        """What the checker says of the graph after `change`, a function of its root and its layers by name."""
        root = ElementTree.fromstring(self.whole)
        change(root, {layer.get("name"): layer for layer in root.iterfind("layers/layer")})
        folder = self.dir / "changed"
        folder.mkdir(exist_ok=True)
        if not (folder / "openvino_model.bin").exists():
            shutil.copy(self.shared / "openvino-int4-g64-asym/openvino_model.bin", folder)
        (folder / "openvino_model.xml").write_text(ElementTree.tostring(root, encoding="unicode"))
        with self.assertRaises(Bad) as caught:
            model = IrModel(folder)
            for batch, now, past in STEPS:
                model.step(batch, now, past)
        return str(caught.exception)

    def test_wiring(self):
        def drop(root, _):
            root.find("edges").remove(root.find("edges")[100])
        self.assertIn("nothing", self.refusal(drop))

        def twice(root, _):
            root.find("edges").append(root.find("edges")[100])
        self.assertIn("wired twice", self.refusal(twice))

        def nowhere(root, _):
            root.find("edges")[100].set("from-layer", "99999")
        self.assertIn("not both there", self.refusal(nowhere))

        def circle(root, layers):
            done, norm = layers["model.layers.1/done"], layers["model.layers.1.input_layernorm.weight/squares"]
            edge = next(e for e in root.iterfind("edges/edge")
                        if e.get("to-layer") == norm.get("id") and e.get("to-port") == "0")
            edge.set("from-layer", done.get("id"))
            edge.set("from-port", "2")
        self.assertIn("reads itself", self.refusal(circle))

        def unassigned(root, layers):
            kept = layers["model.layers.0.cache.key/kept"]
            root.find("layers").remove(kept)
            edges = root.find("edges")
            edges.remove(next(e for e in edges if e.get("to-layer") == kept.get("id")))
        self.assertIn("past_key_values.0.keypresent.0.key", self.refusal(unassigned))

    def attribute(self, layer, key, value):
        def change(_, layers):
            data = layers[layer].find("data")
            if value is None:
                del data.attrib[key]
            else:
                data.set(key, value)
        return self.refusal(change)

    def test_attributes_and_opsets(self):
        for layer, key, value, said in (
                ("lm_head.weight", "offset", "99999999", "outside of the .bin"),
                ("lm_head.weight/scale", "offset", "65", "lies at 65"),
                ("lm_head.weight", "size", "5", "has 5 bytes"),
                ("lm_head.weight", "element_type", "i4", "bytes"),
                ("lm_head.weight/zero_point", "shape", "2048, 3, 1", "bytes"),
                ("lm_head.weight/zero_point/wide", "destination_type", "f32", "declares f16 and makes f32"),
                ("lm_head.weight/steps", "auto_broadcast", None, "lacks auto_broadcast"),
                ("logits", "transpose_b", None, "lacks transpose_b"),
                ("logits", "transpose_b", "maybe", "maybe"),
                ("model.layers.0.self_attn/attended", "causal", None, "lacks causal"),
                ("model.layers.0.cache.key/past", "variable_type", None, "lacks variable_type"),
                ("model.layers.0.cache.key/past", "variable_shape", "?,3,?,32", "begins as"),
                ("model.layers.0.self_attn/q/rotated", "auto_broadcast", None, "lacks auto_broadcast"),
                ("model.norm.weight/mean", "keep_dims", "false", "model.norm.weight/mean"),
                ("model.layers.0.self_attn/joined", "special_zero", "false", "model.layers.0.self_attn/joined"),
                ("embedding", "batch_dims", None, "lacks batch_dims")):
            with self.subTest(layer, key=key, value=value):
                self.assertIn(said, self.attribute(layer, key, value))

        def older(_, layers):
            layers["embedding"].set("version", "opset7")
        self.assertIn("opset7", self.refusal(older))

        def unknown(_, layers):
            layers["embedding"].set("type", "EmbeddingBag")
        self.assertIn("no rule", self.refusal(unknown))

    def test_shapes_and_types(self):
        def other_size(_, layers):
            layers["logits"].find("output/port")[2].text = "2047"
        self.assertIn("logits", self.refusal(other_size))

        def other_type(_, layers):
            layers["model.norm.weight/mean"].find("output/port").set("precision", "FP16")
        self.assertIn("FP16".lower().replace("fp", "f"), self.refusal(other_type))

        # Declared alike on both ends, and still not what the operation makes.
        def both_ends(root, layers):
            silu = layers["model.layers.0.mlp/silu"]
            layers["model.layers.0.mlp/gated"].find("input/port")[2].text = "1"
            silu.find("output/port")[2].text = "1"
        self.assertIn("model.layers.0.mlp/silu", self.refusal(both_ends))


if __name__ == "__main__":
    unittest.main()

"""The decoder's first step against transformers' whole model, text by text."""

import pytest
import torch
from tiny import TEXTS, tiny_encoder, tiny_model, tiny_tokenizer
from transformers import T5Model

from sbert_lab import Plan, Row, gradients, losses, save, train
from sbert_lab.backbone import Backbone
from sbert_lab.decoder import DecoderFirst
from sbert_lab.tokens import Tokens


def whole() -> T5Model:
    config = tiny_model("t5").config
    config.update({"decoder_start_token_id": 1, "is_encoder_decoder": True, "num_decoder_layers": 2, "use_cache": True})
    torch.manual_seed(1)
    return T5Model(config).eval()


def reader(t5: T5Model) -> DecoderFirst:
    half = tiny_model("t5")
    half.load_state_dict({name: w for name, w in t5.state_dict().items() if "decoder" not in name})
    return DecoderFirst(Backbone(half, tiny_tokenizer()), t5.decoder)


def by_loop(t5: T5Model, texts: list[str]) -> torch.Tensor:
    found = []
    for text in texts:
        tokens, _ = Tokens.from_texts(tiny_tokenizer(), [text], 64)
        step = t5(input_ids=tokens.ids[None], decoder_input_ids=torch.tensor([[1]]))
        found.append(step.last_hidden_state[0, 0])
    return torch.stack(found)


def test_every_text_has_the_vector_of_the_decoders_first_step() -> None:
    t5 = whole()
    found, expected = reader(t5).encode(TEXTS), by_loop(t5, TEXTS)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected[0], expected[3], atol=0.1)  # the texts do differ


def test_gradients_reach_encoder_decoder_and_the_shared_words() -> None:
    t5, other = whole(), whole()
    model = reader(t5)
    tokens, _ = model.tokenize(TEXTS)
    weights = torch.linspace(-1, 1, len(TEXTS) * 32).view(len(TEXTS), 32)
    (model.eval()(tokens) * weights).sum().backward()
    (by_loop(other, TEXTS) * weights).sum().backward()
    first, cross = "block.0.layer.0.SelfAttention.q", "block.1.layer.1.EncDecAttention.k"
    for ours, theirs in (
        (model.backbone.model.encoder.get_submodule(first), other.encoder.get_submodule(first)),
        (model.decoder.get_submodule(cross), other.decoder.get_submodule(cross)),
        (model.backbone.model.shared, other.shared),
    ):
        assert theirs.weight.grad.abs().max() > 1e-3
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fill", [gradients.plain, gradients.cached])
def test_it_trains_like_any_encoder(fill) -> None:
    model = reader(whole())
    rows = [Row((text, text[::-1])) for text in TEXTS if text] * 4
    history = train(model, rows, losses.InBatchNegatives(), Plan(8, 6, 3e-3), gradients=fill)
    assert sum(history.losses[-4:]) < 0.8 * sum(history.losses[:4])


def test_what_is_no_decoder_is_named_and_saving_is_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match="decoder is a T5Stack: give the decoder of a T5"):
        DecoderFirst(tiny_encoder("t5").backbone, whole().encoder)
    with pytest.raises(TypeError, match="save writes an Encoder, and a DecoderFirst is more"):
        save(reader(whole()), tmp_path / "model")

"""OFA (One For All, Wang et al., ICML 2022) for inference: the encoder-decoder that answers yes, no or maybe.

Parameter names are those of the published Hugging Face and ModelScope checkpoints. Only what inference on
one image and text needs is computed; the parameters for generating images are there to be loaded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own usage)

TRUNKS = {"resnet50": (3, 4, 6), "resnet101": (3, 4, 23), "resnet152": (3, 8, 36)}
"""Blocks of the image trunk: a ResNet without its last stage."""

_MAX_POSITIONS = 1024  # of the relative-position buckets, whatever the checkpoint's own limit


@dataclasses.dataclass(frozen=True)
class Config:
    """The sizes of a checkpoint, by the names of its config.json. Defaults are those of OFA-large."""

    vocab_size: int = 59457
    d_model: int = 1024
    encoder_layers: int = 12
    decoder_layers: int = 12
    encoder_attention_heads: int = 16
    decoder_attention_heads: int = 16
    encoder_ffn_dim: int = 4096
    decoder_ffn_dim: int = 4096
    max_position_embeddings: int = 1024
    resnet_type: str = "resnet152"
    token_bucket_size: int = 256
    image_bucket_size: int = 42
    attn_scale_factor: float = 2.0
    pad_token_id: int = 1
    bos_token_id: int = 0
    eos_token_id: int = 2

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Config:
        """Raises ValueError when the checkpoint is of another variant of OFA."""
        required = {
            "normformer": True, "encoder_normalize_before": True, "decoder_normalize_before": True,
            "layernorm_embedding": True, "patch_layernorm_embedding": True, "add_type_embedding": True,
            "code_layernorm_embedding": True, "share_decoder_input_output_embed": True,
            "scale_embedding": False, "share_attn_bias": False, "entangle_position_embedding": False,
            "interpolate_position": False, "use_ofasys": False, "use_gamma_feature": False,
            "activation_function": "gelu", "use_image_feature": True,
        }  # fmt: skip
        odd = {key: settings[key] for key, value in required.items() if settings.get(key, value) != value}
        if odd or settings.get("resnet_type", cls.resnet_type) not in TRUNKS:
            raise ValueError(f"an OFA variant that is not supported: {odd or settings['resnet_type']}")
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in settings.items() if key in names})


def token_buckets(size: int, length: int = _MAX_POSITIONS) -> Tensor:
    """(length, length) bucket of the distance between two tokens: exact when near, logarithmic when far."""
    place = torch.arange(length)
    distance = place[:, None] - place[None, :]
    middle = size // 2
    near = distance.abs() < middle
    far = distance.abs().clamp(min=middle - 1).float()
    far = torch.where(near, float(middle - 1), far)
    logarithm = torch.ceil(torch.log(far / middle) / math.log((length - 1) / middle) * (middle - 1)) + middle
    bucket = torch.where(far <= middle, distance, logarithm.long() * distance.sign())
    return bucket + size - 1


def image_buckets(size: int) -> Tensor:
    """(size² + 1, size² + 1) bucket of the displacement between two patches of a size x size grid; index 0 is
    no patch but the grid itself."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    row, column = row.flatten(), column.flatten()
    side = 2 * size - 1
    buckets = torch.zeros((size * size + 1,) * 2, dtype=torch.long)
    buckets[1:, 1:] = (row[:, None] - row[None] + size - 1) * side + column[:, None] - column[None] + size - 1
    buckets[0, :] = side * side
    buckets[:, 0] = side * side + 1
    buckets[0, 0] = side * side + 2
    return buckets


class Bottleneck(nn.Module):
    def __init__(self, width_in: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.downsample = None
        if stride != 1 or width_in != planes * 4:
            shortcut = nn.Conv2d(width_in, planes * 4, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(planes * 4))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Trunk(nn.Module):
    """(n, 3, rows, columns) to (n, 1024, rows / 16, columns / 16)."""

    def __init__(self, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        width = 64
        for stage, (count, planes) in enumerate(zip(blocks, (64, 128, 256), strict=True), start=1):
            layers = [Bottleneck(width, planes, 1 if stage == 1 else 2)]
            width = planes * 4
            layers += [Bottleneck(width, planes) for _ in range(count - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer3(self.layer2(self.layer1(x)))  # type: ignore[operator]


class Attention(nn.Module):
    """Multi-head attention with a learned scale for each head; `bias` is added to the logits."""

    def __init__(self, config: Config, heads: int) -> None:
        super().__init__()
        size = config.d_model
        self.heads = heads
        self.scale = (size // heads * config.attn_scale_factor) ** -0.5
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(size, size) for _ in range(4))
        self.c_attn = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        q, k, v = self._split(self.q_proj(x)), self._split(self.k_proj(memory)), self._split(self.v_proj(memory))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=self.scale)
        y = y * self.c_attn[None, :, None, None]
        return self.out_proj(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """One encoder layer, or with `cross` one decoder layer; normalised before and in the middle (NormFormer)."""

    def __init__(self, config: Config, heads: int, hidden: int, *, cross: bool) -> None:
        super().__init__()
        size = config.d_model
        self.self_attn = Attention(config, heads)
        self.self_attn_layer_norm = nn.LayerNorm(size)
        self.self_attn_mid_layer_norm = nn.LayerNorm(size)
        self.cross = cross
        if cross:
            self.cross_attn = Attention(config, heads)
            self.cross_attn_layer_norm = nn.LayerNorm(size)
            self.cross_attn_mid_layer_norm = nn.LayerNorm(size)
        self.fc1 = nn.Linear(size, hidden)
        self.fc2 = nn.Linear(hidden, size)
        self.ffn_layer_norm = nn.LayerNorm(hidden)
        self.final_layer_norm = nn.LayerNorm(size)

    def forward(
        self, x: Tensor, bias: Tensor, memory: Tensor | None = None, memory_bias: Tensor | None = None
    ) -> Tensor:
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn_mid_layer_norm(self.self_attn(y, y, bias))
        if self.cross:
            assert memory is not None and memory_bias is not None
            y = self.cross_attn(self.cross_attn_layer_norm(x), memory, memory_bias)
            x = x + self.cross_attn_mid_layer_norm(y)
        y = self.ffn_layer_norm(F.gelu(self.fc1(self.final_layer_norm(x))))
        return x + self.fc2(y)


class Stack(nn.Module):
    """What encoder and decoder share: positions, relative-position tables, layers."""

    token_rp_bucket: Tensor
    image_rp_bucket: Tensor

    def __init__(self, config: Config, embed_tokens: nn.Embedding, *, heads: int, layers: int) -> None:
        super().__init__()
        size = config.d_model
        self.embed_tokens = embed_tokens
        self.layernorm_embedding = nn.LayerNorm(size)
        self.embed_positions = nn.Embedding(config.max_position_embeddings + 2, size)
        self.embed_image_positions = nn.Embedding(config.image_bucket_size**2 + 1, size)
        self.pos_ln, self.image_pos_ln = nn.LayerNorm(size), nn.LayerNorm(size)
        self.heads = heads
        self.pos_scaling = (size / heads * config.attn_scale_factor) ** -0.5
        self.layer_norm = nn.LayerNorm(size)
        side = 2 * config.image_bucket_size - 1
        self.token_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(2 * config.token_bucket_size - 1, heads) for _ in range(layers)
        )
        self.image_rel_pos_table_list = nn.ModuleList(nn.Embedding(side * side + 3, heads) for _ in range(layers))
        self.register_buffer("token_rp_bucket", token_buckets(config.token_bucket_size), persistent=False)
        self.register_buffer("image_rp_bucket", image_buckets(config.image_bucket_size), persistent=False)

    def absolute(self, query: nn.Linear, key: nn.Linear, places: Tensor, memory_places: Tensor) -> Tensor:
        """(1, heads, n, m) logits that depend on the two places only."""
        q = query(places).unflatten(-1, (self.heads, -1)).transpose(-3, -2) * self.pos_scaling
        k = key(memory_places).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
        return (q @ k.transpose(-2, -1))[None]

    def between_tokens(self, layer: int, length: int) -> Tensor:
        """(heads, length, length) logits of the distance between tokens."""
        return self.token_rel_pos_table_list[layer](self.token_rp_bucket[:length, :length]).permute(2, 0, 1)


class Encoder(Stack):
    def __init__(self, config: Config, embed_tokens: nn.Embedding) -> None:
        heads, size = config.encoder_attention_heads, config.d_model
        super().__init__(config, embed_tokens, heads=heads, layers=config.encoder_layers)
        self.type_embedding = nn.Embedding(2, size)
        self.embed_images = Trunk(TRUNKS[config.resnet_type])
        self.image_proj = nn.Linear(1024, size)
        self.patch_layernorm_embedding = nn.LayerNorm(size)
        self.pos_q_linear, self.pos_k_linear = nn.Linear(size, size), nn.Linear(size, size)
        self.layers = nn.ModuleList(
            Layer(config, heads, config.encoder_ffn_dim, cross=False) for _ in range(config.encoder_layers)
        )
        self.grid = config.image_bucket_size

    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Patch embeddings (n, patches, width), and the (patches,) place of each on the position grid.

        They do not depend on the text, so they are what a cache keeps for an image.
        """
        features = self.embed_images(images)
        rows, columns = features.shape[2:]
        if max(rows, columns) > self.grid:
            raise ValueError(f"an image of {rows} x {columns} patches; at most {self.grid} each way")
        x = self.image_proj(features.flatten(2).transpose(1, 2)) + self.type_embedding.weight[1]
        places = torch.arange(columns)[None, :] + torch.arange(rows)[:, None] * self.grid + 1
        return self.patch_layernorm_embedding(x), places.flatten().to(images.device)

    def forward(self, tokens: Tensor, padding: Tensor, patches: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Final states (n, patches + tokens, width), and the normalised place embedding of each of them."""
        count, length = patches.shape[1], tokens.shape[1]
        x = self.layernorm_embedding(self.embed_tokens(tokens) + self.type_embedding.weight[0])
        x = torch.cat([patches, x], dim=1)
        where = torch.cat(
            [
                self.image_pos_ln(self.embed_image_positions(places)),
                self.pos_ln(self.embed_positions.weight[:length]),
            ]
        )
        shared = self.absolute(self.pos_q_linear, self.pos_k_linear, where, where)
        hidden: Tensor | None = None
        if padding.any():
            x = x * ~padding[..., None]
            hidden = torch.zeros(padding.shape, dtype=x.dtype, device=x.device)
            hidden = hidden.masked_fill(padding, torch.finfo(x.dtype).min)[:, None, None]
        displaced = self.image_rp_bucket[places][:, places]
        for index, layer in enumerate(self.layers):
            bias = shared.clone()
            bias[:, :, :count, :count] += self.image_rel_pos_table_list[index](displaced).permute(2, 0, 1)
            bias[:, :, count:, count:] += self.between_tokens(index, length)
            x = layer(x, bias if hidden is None else bias + hidden)
        return self.layer_norm(x), where


class Decoder(Stack):
    def __init__(self, config: Config, embed_tokens: nn.Embedding) -> None:
        heads, size = config.decoder_attention_heads, config.d_model
        super().__init__(config, embed_tokens, heads=heads, layers=config.decoder_layers)
        self.code_layernorm_embedding = nn.LayerNorm(size)
        self.self_pos_q_linear, self.self_pos_k_linear = nn.Linear(size, size), nn.Linear(size, size)
        self.cross_pos_q_linear, self.cross_pos_k_linear = nn.Linear(size, size), nn.Linear(size, size)
        self.layers = nn.ModuleList(
            Layer(config, heads, config.decoder_ffn_dim, cross=True) for _ in range(config.decoder_layers)
        )

    def forward(self, tokens: Tensor, memory: Tensor, memory_where: Tensor, padding: Tensor) -> Tensor:
        """Final states (n, tokens, width)."""
        length = tokens.shape[1]
        where = self.pos_ln(self.embed_positions.weight[:length])
        shared = self.absolute(self.self_pos_q_linear, self.self_pos_k_linear, where, where)
        later = torch.full((length, length), float("-inf"), dtype=shared.dtype, device=tokens.device).triu(1)
        cross = self.absolute(self.cross_pos_q_linear, self.cross_pos_k_linear, where, memory_where)
        if padding.any():
            lowest = torch.finfo(cross.dtype).min
            cross = cross + torch.zeros_like(padding, dtype=cross.dtype).masked_fill(padding, lowest)[:, None, None]
        x = self.layernorm_embedding(self.embed_tokens(tokens))
        for index, layer in enumerate(self.layers):
            x = layer(x, shared + self.between_tokens(index, length) + later, memory, cross)
        return self.layer_norm(x)


class OFA(nn.Module):
    """Encoder and decoder over one table of tokens."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        table = nn.Embedding(config.vocab_size, config.d_model, padding_idx=config.pad_token_id)
        self.encoder = Encoder(config, table)
        self.decoder = Decoder(config, table)

    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `Encoder.see`; `images` (n, 3, rows, columns), normalised."""
        return self.encoder.see(images)

    def states(self, tokens: Tensor, patches: Tensor, places: Tensor, prompt: Tensor) -> Tensor:
        """Decoder states (n, prompt tokens, width).

        Arguments:
            tokens: (n, m) source ids, padded on the right.
            patches, places: from `see`.
            prompt: (n, p) decoder ids, padded on the right (later positions never reach earlier ones).
        """
        padding = torch.cat(
            [
                torch.zeros(patches.shape[:2], dtype=torch.bool, device=tokens.device),
                tokens == self.config.pad_token_id,
            ],
            dim=1,
        )
        memory, where = self.encoder(tokens, padding, patches, places)
        return self.decoder(prompt, memory, where, padding)

    def logits(self, states: Tensor, ids: Tensor | None = None) -> Tensor:
        """Logits of the tokens `ids` (all when None)."""
        table = self.decoder.embed_tokens.weight
        return F.linear(states, table if ids is None else table[ids])

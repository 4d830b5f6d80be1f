"""Networks of the set-ups, each of a kind that once passed wrongly or that people bring."""

import torch
import torch.nn.functional as F
from torch import nn


def conv(i, o, k=3, s=1):
    return nn.Sequential(
        nn.Conv2d(i, o, k, stride=s, padding=k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU()
    )


class Seg(nn.Module):
    """small encoder-decoder: mask probability and 8-channel features"""

    def __init__(self, align=False, mode="bilinear", antialias=False, p=0.0):
        super().__init__()
        self.a, self.b, self.c = conv(3, 16, 3, 2), conv(16, 32, 3, 2), conv(32, 32)
        self.drop = nn.Dropout(p)
        self.head = nn.Conv2d(32, 1, 1)
        self.align, self.mode, self.aa = align, mode, antialias

    def forward(self, x):
        y = self.drop(self.c(self.b(self.a(x))))
        y = F.interpolate(self.head(y), size=x.shape[2:], mode=self.mode, align_corners=self.align)
        return torch.sigmoid(y)


class TwoHeads(nn.Module):
    """two outputs of equal shape"""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 16), conv(16, 16)
        self.h1, self.h2 = nn.Conv2d(16, 1, 1), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        y = self.b(self.a(x))
        return torch.sigmoid(self.h1(y)), torch.sigmoid(self.h2(y))


class Heat(nn.Module):
    """spatial softmax: probability that sums to one over the picture"""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.h = conv(3, 16), conv(16, 16), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        y = self.h(self.b(self.a(x)))
        return torch.softmax(y.flatten(2), dim=2).reshape_as(y)


class Argmax(nn.Module):
    """label map int64"""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.h = conv(3, 16), conv(16, 16), nn.Conv2d(16, 5, 1)

    def forward(self, x):
        return self.h(self.b(self.a(x))).argmax(1)


class Kept(nn.Module):
    """boxes whose score is over a threshold: a free number of rows"""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 16, 3, 2), conv(16, 16, 3, 2)
        self.s, self.d = nn.Conv2d(16, 1, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x):
        y = self.b(self.a(x))
        s = torch.sigmoid(self.s(y)).flatten()
        d = self.d(y).permute(0, 2, 3, 1).reshape(-1, 4)
        k = s > 0.70
        return d[k], s[k]


class Block(nn.Module):
    def __init__(self, c=32):
        super().__init__()
        self.n, self.f1, self.f2 = (
            nn.LayerNorm(c, eps=1e-6),
            nn.Linear(c, 4 * c),
            nn.Linear(4 * c, c),
        )

    def forward(self, t):
        return t + self.f2(F.gelu(self.f1(self.n(t))))


class TinyViT(nn.Module):
    """patches, three pre-norm MLP blocks, class logits"""

    def __init__(self, c=32, n=10):
        super().__init__()
        self.p = nn.Conv2d(3, c, 8, stride=8)
        self.blocks = nn.ModuleList(Block(c) for _ in range(3))
        self.norm, self.h = nn.LayerNorm(c, eps=1e-6), nn.Linear(c, n)

    def forward(self, x):
        t = self.p(x).flatten(2).transpose(1, 2)
        for b in self.blocks:
            t = b(t)
        return self.h(self.norm(t).mean(1))


class Dark(nn.Module):
    """a mask that is near zero on clean pictures (detector of something rare)"""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.h = conv(3, 16), conv(16, 16), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        return torch.sigmoid(self.h(self.b(self.a(x))) - 15.0)


class INorm(nn.Module):
    """normalises each picture by its own spread, with an epsilon"""

    def __init__(self, eps=1e-6):
        super().__init__()
        self.a, self.h, self.eps = conv(3, 16), nn.Conv2d(16, 1, 1), eps

    def forward(self, x):
        m = x.mean(dim=(2, 3), keepdim=True)
        v = ((x - m) ** 2).mean(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.h(self.a((x - m) / torch.sqrt(v + self.eps))))


class F32Inside(nn.Module):
    """computes its softmax and its norm in float32, as many transformer codes do"""

    def __init__(self):
        super().__init__()
        self.a, self.h = conv(3, 16), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        y = self.a(x).float()
        y = (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True) + 1e-5).sqrt()
        return torch.sigmoid(self.h(y.to(x.dtype)))


class AllF32(nn.Module):
    """casts to half in the middle: a float64 reference of it is none"""

    def __init__(self):
        super().__init__()
        self.a, self.h = conv(3, 16), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        y = self.a(x).half().to(x.dtype)
        return torch.sigmoid(self.h(y))


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.h = conv(3, 16), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        y = self.a(x)
        return torch.sigmoid(self.h(y + 0.1 * torch.randn_like(y)))


class MCDrop(nn.Module):
    """dropout that stays on (Monte Carlo)"""

    def __init__(self):
        super().__init__()
        self.a, self.h = conv(3, 16), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        return torch.sigmoid(self.h(F.dropout(self.a(x), 0.2, training=True)))


class BigBranch(Seg):
    """pictures over 512 pixels are looked at from further away: a trace cannot hold that"""

    def forward(self, x):
        if max(x.shape[2], x.shape[3]) > 512:
            y = super().forward(F.avg_pool2d(x, 2))
            return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
        return super().forward(x)


class Restore(nn.Module):
    """3 channels in, residual restoration."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, x):
        return self.body(x) + nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")


class DictOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x):
        return {"mask": self.a(x), "edge": self.b(x)}


class NestedOut(DictOut):
    def forward(self, x):
        return self.a(x), (self.b(x), [self.a(x).mean((2, 3))])


class Three(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.emb, self.lin = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Embedding(10, 8),
            nn.Linear(4, 8),
        )

    def forward(self, image, meta, label):
        return (
            self.conv(image) * self.lin(meta)[:, :, None, None] + self.emb(label)[:, :, None, None]
        )


def double():
    return Restore().double()


def half():
    return Restore().half()


class Tiny(nn.Module):
    """A plain image network for the checkpoint formats."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn, self.conv2 = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 1, 3, padding=1),
        )

    def forward(self, x):
        return torch.sigmoid(self.conv2(torch.relu(self.bn(self.conv1(x)))))


class Scale(nn.Module):
    """A 0-d parameter, as CLIP's logit_scale."""

    def __init__(self):
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 1, 3, padding=1), nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.conv(x) * self.scale


class Small(Tiny):
    """Outputs of the order of 1e-6: radiance, probabilities of many classes, residuals."""

    def forward(self, x):
        return super().forward(x) * 2e-6


class UsesBlocks(nn.Module):
    """Its arithmetic stands in another file: a change there must not meet old references."""

    def __init__(self):
        super().__init__()
        from blocks import act

        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), act(), nn.Conv2d(8, 1, 3, padding=1)
        )

    def forward(self, x):
        return self.net(x)


class OwnConv(nn.Conv2d):
    """Weight standardisation: what it multiplies by is not its weight (timm's NFNet)."""

    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.var((1, 2, 3), keepdim=True) + 1e-6).sqrt()
        return self._conv_forward(x, w, self.bias)


class Standardised(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.h = OwnConv(3, 16, 3, padding=1), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        return torch.sigmoid(self.h(F.relu(self.a(x))))

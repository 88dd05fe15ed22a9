"""Where the paper's text and its official code differ, as data: what each says, what it changes, what we do.

`DIFFERENCES` are places where the two descriptions of the method part, or where only the code says
anything. `TRAPS` are things the code does that no reader of the text would expect. Notebook A2 shows
both; `recipes.RECIPES` makes the choices that matter switchable. The official code is the authors'
repository at commit 00c1ae6, run on a CPU with random weights."""

from dataclasses import dataclass

from ..recipes import RECIPES


@dataclass(frozen=True)
class Difference:
    """One difference. group: part of the method. place: in the paper. text, code: what each says. effect:
    what hangs on it, with a number where there is one. ours: what this module does. where: names in
    `dcac_lite`, "data.moments.cached_moments". recipe: the field of `recipes.Recipe` that chooses, if one does."""

    topic: str
    group: str
    place: str
    text: str
    code: str
    effect: str
    ours: str
    where: tuple[str, ...]
    recipe: str = ""


def as_table(records: tuple[Difference, ...]):
    """One row per record, a pandas DataFrame: topic, group, place in the paper, and the name of the
    recipe's choice ("" where all recipes agree)."""
    import pandas as pd

    return pd.DataFrame(
        [{"part": d.group, "topic": d.topic, "place in the paper": d.place, "choice": d.recipe} for d in records]
    )


def as_markdown(records: tuple[Difference, ...], group: str | None = None) -> str:
    """The records, or those of one group, written out. Raises ValueError for a group that no record has."""
    groups = sorted({d.group for d in records})
    if group is not None and group not in groups:
        raise ValueError(f"group is {group!r}; expected one of {', '.join(groups)}.")
    return "\n\n".join(_entry(d) for d in records if group in (None, d.group))


def _entry(d: Difference) -> str:
    places = ", ".join(f"`{name}`" for name in d.where)
    lines = [
        f"### {d.topic} ({d.place})",
        f"* **The text:** {d.text}",
        f"* **The code:** {d.code}",
        f"* **What hangs on it:** {d.effect}",
        f"* **Here:** {d.ours} See {places}.",
    ]
    if d.recipe:
        chosen = ", ".join(f"{name} `{getattr(recipe, d.recipe)}`" for name, recipe in RECIPES.items())
        lines.append(f"* **Recipe** `{d.recipe}`: {chosen}.")
    return "\n".join(lines)


DIFFERENCES: tuple[Difference, ...] = (
    # ---------------------------------------------------------------- condition
    Difference(
        "Class-wise condition", "condition", "Table 7",
        "Keep the probability of the true identity, set all others to zero: $\\mathbf{c} = p_y \\mathbf{e}_y$.",
        "The kept probability is divided by itself, so $\\mathbf{c} = \\mathbf{e}_y$.",
        "$p_y$ cancels, and with it every gradient to the encoder. As published, this row of Table 7 trains the "
        "baseline's encoder: its +0.6 mAP (MA to MS) and -0.5 mAP (MS to MA) would be run-to-run scatter, or come from "
        "other code. It is NaN when $p_y$ underflows.",
        "The text's version under the name `class-wise`, the code's as `class-wise-rescaled`, without the division.",
        ("conditioning.ClassWise", "conditioning.ClassWiseRescaled"), "class_wise_rescaled",
    ),
    Difference(
        "Instance-wise condition", "condition", "Table 7",
        "The image feature itself is the condition.",
        "The feature after the neck, L2-normalised, times a learnable 512 x 768 matrix from N(0, 1).",
        "Some map is needed, since the feature has 512 entries and the U-Net's context 768; the text names none. No "
        "configuration for this row was published.",
        "As the code does.",
        ("conditioning.InstanceWise",),
    ),
    Difference(
        "ConditionNet", "condition", "Table 10",
        "A module of non-linearity, BatchNorm and linear layers.",
        "BN, SiLU, linear 768 to 96, BN, SiLU, linear 96 to 768; no biases; the linear layers start from N(0, 1) and "
        "not from a library's default. A residual variant lies unused beside it.",
        "Its output has entries of a standard deviation of about 6, where a prompt has 1: the row tests a scale as "
        "well as a design.",
        "As the code does.",
        ("conditioning.ConditionNet",),
    ),
    Difference(
        "Which feature is z", "condition", "Eq. 5 to 7, 12",
        "One symbol z in all four equations. In Eq. 7 the updated prototype is not normalised.",
        "Eq. 5 and 12 take the feature after the BN neck; Eq. 6 and 7 take the same, L2-normalised, and every updated"
        " prototype is normalised "
        "again. The hardest sample is the one with the lowest dot product with its own prototype.",
        "Without the normalisation the temperature 0.01 of Eq. 6 would act on dot products in the hundreds. The "
        "logits of Eq. 12 "
        "grow with the length of the feature after the neck, so the values of $\\tau_c$ belong to that feature.",
        "As the code does; the docstrings say which z is meant.",
        ("encoder.ReIDModel", "memory.PrototypeMemory", "dcac.DCAC"),
    ),
    Difference(
        "Two meanings of d", "condition", "Sec. 4.1, 4.3",
        "d is the width of the image feature and of the ID prompts.",
        "512 for the feature, 768 for the prompts.",
        "None for the numbers.",
        "Width d of the feature, width D of the context.",
        ("conditioning.make_condition",),
    ),
    # ---------------------------------------------------------------- U-Net
    Difference(
        "Layers with adapters", "U-Net", "Sec. 4.2",
        "Query, key, value and output projections, and the linear transformations of the feed-forward networks.",
        "Only the first linear layer of each feed-forward network.",
        "Table 6 prints 89.01 M trainable parameters. The first layer alone gives 89.01, both give 89.50.",
        "The layers that give the printed number; 144 of them in Stable Diffusion.",
        ("adaptation.LORA_TARGETS", "adaptation.adapt"), "second_feed_forward",
    ),
    Difference(
        "Random biases", "U-Net", "Eq. 9",
        "With B = 0 the adapted U-Net starts as the pre-trained one.",
        "Layers are replaced by those of a library whose default is a bias. Stable Diffusion's queries, keys and "
        "values have none, so 96 vectors (74,880 numbers) stay random and never learn.",
        "The LoRA rows do not start at the pre-trained U-Net: a block's output is off by several percent. Frozen and "
        "full rows are not touched, so Table 5 compares more than ways of adapting.",
        "peft keeps the original layer and adds none.",
        ("adaptation.add_stray_biases", "adaptation.adapt"), "stray_biases",
    ),
    Difference(
        "Which Stable Diffusion", "U-Net", "Sec. 5.2",
        "stable-diffusion-v1-5.",
        "The file v1-5-pruned.ckpt, of which the weights as trained are taken, not their moving average (EMA).",
        "The usual folder of the diffusers library holds the EMA weights: another U-Net under the same name.",
        "The weights as trained, since the printed numbers come from them (`ema` of the full tier); `ema=True` takes "
        "the average. From a folder "
        "or from the single file.",
        ("pretrained.stable_diffusion.load_stable_diffusion", "tiers.Tier"),
    ),
    Difference(
        "Rows of Table 5 without code", "U-Net", "Table 5",
        "Seven rows: baseline, frozen, LoRA, two partial fine-tunings, full, from scratch.",
        "Three modes: LoRA, all, freeze. The baseline can be had by beginning the diffusion loss after the last epoch; "
        "an empty weight path for \"from scratch\" would leave the VAE random too.",
        "What \"output blocks\" are has to be found from Table 6: with time embedding and output layer 599.37 M, the "
        "printed number; the blocks alone give 597.31.",
        "All seven, with the parts that give the printed counts; from scratch keeps the pre-trained VAE.",
        ("adaptation.MODES", "adaptation.adapt"),
    ),
    # ---------------------------------------------------------------- loss
    Difference(
        "Size of the diffusion loss", "loss", "Eq. 3, 11, 13",
        "A squared norm: the sum over the latent's elements.",
        "The mean over the elements.",
        "A factor of 4 x 16 x 16 = 1,024. $\\lambda = 1$ of the text belongs to the mean; as written it would be 1,024 "
        "times as strong.",
        "The mean.",
        ("diffusion.denoising_loss",), "squared_norm",
    ),
    Difference(
        "Timesteps", "loss", "Sec. 3",
        "t runs from 1 to T.",
        "Uniform over 0 to 999.",
        "None: the same thousand noise levels, counted from 0.",
        "As the code does.",
        ("diffusion.add_noise", "trainer.step_inputs"),
    ),
    Difference(
        "Latent of an image", "loss", "Sec. 4.2",
        "F_0 = E_vae(x_0).",
        "A fresh sample of the VAE's posterior in each step, never its mean, times 0.18215.",
        "Small: the posterior is narrow (notebook 03). But the latent is not a constant of the image; its mean and "
        "variance are.",
        "Mean and log-variance are computed once, kept in float16 (eleven bits), and sampled in each step.",
        ("diffusion.sample_latents", "data.moments.cached_moments"), "posterior_sample",
    ),
    # ---------------------------------------------------------------- optimisation
    Difference(
        "Start of the warm-up", "optimisation", "Sec. 5.2",
        "The learning rate rises from 5e-7 to 5e-6 over ten epochs.",
        "5e-7 belongs to an epoch 0 that is never trained; epoch 1 runs at 9.5e-7. The drops at 30 and 50 act in these "
        "epochs themselves.",
        "Each of the first ten epochs runs 4.5e-7 higher: nearly twice the rate in epoch 1, 3.3 % of the sum of all "
        "rates.",
        "As the code does.",
        ("trainer.lr_factor",), "warmup_from_start",
    ),
    Difference(
        "Learnable prompts", "optimisation", "Sec. 4.3",
        "The ID prompts are learnable.",
        "They start from N(0, 1) and share one Adam and one learning rate with everything else; weight decay 1e-4 is "
        "coupled (an L2 term).",
        "Adam moves an entry by about the learning rate per step. Over all epochs that is at most about 0.025 on "
        "Market1501 and 0.065 on MSMT17, against a standard deviation of 1: the condition is nearly a fixed random "
        "projection of the probabilities.",
        "As the code does. The lite tier's rate is higher, so there prompts do move.",
        ("conditioning.CorrelationAware", "trainer.Trainer"),
    ),
    Difference(
        "Settings only the code has", "optimisation", "Sec. 5.2",
        "Flip, crop and erasing; no more.",
        "Label smoothing 0.1; pixels to [-1, 1] and not CLIP's statistics; padding 10; erasing fills 0.02 to 0.4 of "
        "the image with 0.5 *after* normalisation, a light grey; BN bias frozen at 0; classifier weights of SD 0.001; "
        "seed 1234; evaluation after the last epoch only.",
        "Each is ordinary in the field, and nobody could guess them all from the text.",
        "As the code does; seeds are a parameter.",
        ("encoder.id_loss", "augment.normalise", "augment.random_erasing", "encoder.ReIDModel"),
    ),
    Difference(
        "Arithmetic", "optimisation", "not stated",
        "Nothing.",
        "float16 autocast with a gradient scaler. When the scaler skips a step, the prototype memory has moved all the "
        "same.",
        "In float16 a cosine near 1 is known to 0.0005, which the temperature 0.01 turns into 0.05.",
        "bfloat16 in the full tier for encoder and U-Net; neck, classifier, condition, losses and memory stay in "
        "float32.",
        ("device.full_precision", "experiment.Experiment"), "precision",
    ),
    # ---------------------------------------------------------------- counting and testing
    Difference(
        "Parameters at inference", "counting and testing", "Table 6",
        "85.55 M.",
        "The count takes what requires a gradient, so the frozen patch projection (589,824) is missing.",
        "The encoder has 86.14 M.",
        "Counted both ways in notebook 03.",
        ("encoder.ReIDModel",),
    ),
    Difference(
        "Resizing at test time", "counting and testing", "not stated",
        "Nothing.",
        "Single-source evaluation builds a loader of its own and resizes bilinearly; training, prototypes and "
        "multi-source evaluation are bicubic.",
        "A small mismatch between training and test pictures in Tables 2, 3 and 5 to 10, and none in Table 4.",
        "Bicubic throughout; bilinear under the official recipe with one source.",
        ("data.domains.read_dataset",), "test_resize",
    ),
    Difference(
        "Which boxes of CUHK03", "counting and testing", "Table 1",
        "CUHK03-NP, 7,365 / 1,400 / 5,332 pictures.",
        "The detected boxes.",
        "The counts agree with detected; labeled boxes have 7,368 / 1,400 / 5,328 and are easier.",
        "`C3` is detected, `C3-labeled` the other.",
        ("data.registry.DATASETS",),
    ),
)  # fmt: skip

TRAPS: tuple[Difference, ...] = (
    Difference(
        "One token cannot be attended", "U-Net", "Eq. 12",
        "The condition enters by cross-attention.",
        "A single context token: the softmax over one key is 1, so each position gets the same vector. Queries, keys "
        "and their adapters get no gradient.",
        "397,824 of the 2,492,928 adapter parameters (16 %) can never learn. A map of where the condition attends "
        "would be flat.",
        "The same function without computing queries and keys, which stay as they are; the official code's weight "
        "decay shrinks them, to no effect.",
        ("diffusion.OneTokenAttention",),
    ),
    Difference(
        "Other probabilities", "condition", "Eq. 12",
        "The classifier's probabilities weight the prompts.",
        "A setting takes the similarities to the prototypes in their place (a softmax with temperature 0.01), or the "
        "average of both.",
        "No table uses it. In float32 its backward pass fails, because the memory has changed by then.",
        "Left out.",
        ("conditioning.CorrelationAware",),
    ),
    Difference(
        "The neck runs twice", "loss", "Sec. 4.1",
        "One BN neck.",
        "Applied to the same features twice in each step.",
        "Its running statistics move twice by 0.1, as once by 0.19.",
        "Once, with momentum 0.19.",
        ("encoder.ReIDModel",),
    ),
    Difference(
        "Labels from a set", "data", "Sec. 5.1",
        "Nothing.",
        "An identity's label is its position in a Python set.",
        "Ascending for Market1501, MSMT17 and CUHK03. Not for DukeMTMC-reID, whose person ids reach 7,140; its file "
        "order depends on the disk, too.",
        "Labels follow the sorted person ids, files their names.",
        ("data.domains.training_set", "data.listing.list_images"),
    ),
    Difference(
        "Pictures that are left out", "data", "Sec. 5.2",
        "64 images: 16 identities with 4 each.",
        "The sampler stops as soon as fewer than 16 identities have a group of four left, and drops theirs; at the end "
        "these are the identities with most pictures. Its length says more than it yields.",
        "Measured with 751 identities and 13,248 pictures: 188 to 190 batches an epoch, where the pictures would fill "
        "207.",
        "The same sampler, since the number of steps is part of the recipe. Fewer than 16 identities are refused, "
        "where the official sampler yields nothing.",
        ("sampling.pk_batches",),
    ),
    Difference(
        "Small galleries and ties", "counting and testing", "Sec. 5.1",
        "mAP and CMC.",
        "CMC fails for galleries under 50 pictures; equal distances are ordered at random; the whole distance matrix "
        "is held, its order and its matches too.",
        "15 GB of memory on MSMT17.",
        "Any size, ties against the model, a portion of the queries at a time.",
        ("evaluation.rank_metrics",),
    ),
    Difference(
        "Silent settings", "optimisation", "not stated",
        "Nothing.",
        "A misspelt or missing entry of the configuration is an empty value that counts as false, unless a base file "
        "sets it (MSMT17's $\\tau_c$ "
        "of 1.0 is in one); so print the resolved configuration. An unreadable picture is tried again for ever.",
        "A run can go on for hours with another method than was meant, or stand still.",
        "Unknown names and wrong values are refused in one sentence.",
        ("book.notebook.start", "experiment.Experiment", "data.decoding.open_image"),
    ),
)  # fmt: skip

"""The first catalog: eleven tables, the checkpoints of searches, and the view `snapshots`.

Revision 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# One flat row per snapshot. Written for SQLite and PostgreSQL alike; correlated subqueries, so that a question about a few
# snapshots never reads the whole of estimate and evidence.
#
# Reconciling, in this order: the newest number a reviewer gave; the scale bar; the image, unless it abstained. A bar
# outside the image's 99 % interval is a conflict and leaves no value. A caption alone gives none.
SNAPSHOTS = """
CREATE VIEW snapshots AS
WITH newest_review AS (
    SELECT r.* FROM review r WHERE NOT EXISTS (
        SELECT 1 FROM review n
        WHERE n.snapshot_id = r.snapshot_id AND n.reviewer = r.reviewer
          AND (n.created_at > r.created_at OR (n.created_at = r.created_at AND n.review_id > r.review_id)))
),
verdicts AS (
    SELECT snapshot_id, COUNT(DISTINCT verdict) AS n_verdicts, MIN(verdict) AS verdict,
           MIN(CASE WHEN verdict = 'correct' THEN magnification_x END) AS lowest_x,
           MAX(CASE WHEN verdict = 'correct' THEN magnification_x END) AS highest_x
    FROM newest_review GROUP BY snapshot_id
),
witness AS (
    SELECT s.*, p.figure_id, f.article_id,
           a.source, a.pmcid, a.doi, a.title, a.journal, a.year, a.group_name, a.is_retracted,
           a.licence_code, a.licence_url, a.text_licence_code, a.copyright_line, a.citation,
           f.label AS figure_label, f.rights, f.page_number,
           p.label AS panel_label, p.caption, p.kind, p.kind_score, p.organ, p.species, p.diagnosis_text,
           e.model_id, e.mpp_um AS image_mpp_um,
           10.0 / e.magnification_hi_x AS image_mpp_lo_um, 10.0 / e.magnification_lo_x AS image_mpp_hi_um,
           e.mpp_lo99_um AS image_mpp_lo99_um, e.mpp_hi99_um AS image_mpp_hi99_um,
           e.abstained AS image_abstained, e.reason AS image_reason,
           CASE WHEN NOT e.abstained THEN e.mpp_um END AS trusted_mpp_um,
           b.mpp_um AS bar_mpp_um, c.stated_x, c.objective_x,
           (SELECT r.magnification_x FROM newest_review r
            WHERE r.snapshot_id = s.snapshot_id AND r.verdict = 'correct'
            ORDER BY r.created_at DESC, r.review_id DESC LIMIT 1) AS review_x,
           CASE WHEN v.n_verdicts > 1 OR v.highest_x > 1.1 * v.lowest_x THEN 1 ELSE 0 END AS reviews_differ,
           CASE WHEN v.n_verdicts > 1 THEN 'differ' ELSE v.verdict END AS review_verdict
    FROM snapshot s
    JOIN panel p ON p.panel_id = s.panel_id
    JOIN figure f ON f.figure_id = p.figure_id
    JOIN article a ON a.article_id = f.article_id
    LEFT JOIN verdicts v ON v.snapshot_id = s.snapshot_id
    LEFT JOIN estimate e ON e.snapshot_id = s.snapshot_id AND e.model_id = (
        SELECT m.model_id FROM estimate x JOIN model m ON m.model_id = x.model_id
        WHERE x.snapshot_id = s.snapshot_id ORDER BY m.rank, m.version DESC, m.model_id LIMIT 1)
    LEFT JOIN evidence b ON b.evidence_id = (
        SELECT x.evidence_id FROM evidence x
        WHERE x.panel_id = s.panel_id AND x.kind = 'scale_bar' AND x.mpp_um IS NOT NULL
        ORDER BY COALESCE(x.score, 0) DESC, x.evidence_id LIMIT 1)
    LEFT JOIN evidence c ON c.evidence_id = (
        SELECT x.evidence_id FROM evidence x
        WHERE x.panel_id = s.panel_id AND x.kind = 'caption' AND x.stated_x IS NOT NULL
        ORDER BY COALESCE(x.score, 0) DESC, x.evidence_id LIMIT 1)
),
judged AS (
    SELECT w.*, CASE
        WHEN w.trusted_mpp_um IS NOT NULL
             AND (w.bar_mpp_um < w.image_mpp_lo99_um OR w.bar_mpp_um > w.image_mpp_hi99_um) THEN 1 ELSE 0
    END AS is_conflict
    FROM witness w
),
decided AS (
    SELECT j.*, CASE
        WHEN j.review_x IS NOT NULL THEN 'review'
        WHEN j.is_conflict = 1 THEN NULL
        WHEN j.bar_mpp_um IS NOT NULL THEN 'scale_bar'
        WHEN j.trusted_mpp_um IS NOT NULL THEN 'image'
    END AS magnification_source, CASE
        WHEN j.reviews_differ = 1 THEN 'reviews_differ'
        WHEN j.review_x IS NOT NULL THEN 'reviewed'
        WHEN j.is_conflict = 1 THEN 'conflict'
        WHEN j.bar_mpp_um IS NOT NULL AND j.trusted_mpp_um IS NOT NULL THEN 'agree'
        WHEN j.bar_mpp_um IS NOT NULL OR j.trusted_mpp_um IS NOT NULL THEN 'single'
    END AS agreement
    FROM judged j
)
SELECT snapshot_id, panel_id, figure_id, article_id, pmcid, licence_code, licence_url, citation, figure_label, panel_label,
       caption, kind, he_score, image_path, image_sha256, width_px, height_px, model_id,
       image_mpp_um, image_mpp_lo_um, image_mpp_hi_um, image_abstained, bar_mpp_um, stated_x, objective_x,
       CASE magnification_source WHEN 'review' THEN 10.0 / review_x WHEN 'scale_bar' THEN bar_mpp_um
                                 WHEN 'image' THEN image_mpp_um END AS mpp_um,
       CASE magnification_source WHEN 'image' THEN image_mpp_lo_um END AS mpp_lo_um,
       CASE magnification_source WHEN 'image' THEN image_mpp_hi_um END AS mpp_hi_um,
       CASE magnification_source WHEN 'review' THEN review_x WHEN 'scale_bar' THEN 10.0 / bar_mpp_um
                                 WHEN 'image' THEN 10.0 / image_mpp_um END AS magnification_x,
       magnification_source, agreement, review_verdict,
       image_mpp_lo99_um, image_mpp_hi99_um, image_reason, kind_score, tissue_share, phash, x0_px, y0_px, x1_px, y1_px,
       page_number, rights, organ, species, diagnosis_text, source, doi, title, journal, year, group_name, is_retracted,
       text_licence_code, copyright_line
FROM decided
"""


def upgrade() -> None:
    op.create_table(
        "article",
        sa.Column("article_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("pmcid", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("pmid", sa.BigInteger(), nullable=True),
        sa.Column("doi", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("journal", sa.Text(), nullable=True),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("licence_code", sa.Text(), nullable=True),
        sa.Column("licence_url", sa.Text(), nullable=True),
        sa.Column("text_licence_code", sa.Text(), nullable=True),
        sa.Column("copyright_line", sa.Text(), nullable=True),
        sa.Column("citation", sa.Text(), nullable=True),
        sa.Column("is_retracted", sa.Boolean(), nullable=False),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("group_name", sa.Text(), nullable=True),
        sa.Column("keywords", sa.JSON(), nullable=False),
        sa.Column("mesh_terms", sa.JSON(), nullable=False),
        sa.Column("annotated_version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_article")),
    )
    op.create_index(op.f("ix_article_pmcid"), "article", ["pmcid"], unique=False)
    op.create_table(
        "checkpoint",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_checkpoint")),
    )
    op.create_table(
        "model",
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("weights_sha256", sa.Text(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_model")),
    )
    op.create_table(
        "review",
        sa.Column("review_id", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("magnification_x", sa.Double(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "verdict <> 'correct' OR magnification_x IS NOT NULL", name=op.f("ck_review_correct_has_number")
        ),
        sa.CheckConstraint("verdict IN ('accept', 'reject', 'correct')", name=op.f("ck_review_verdict")),
        sa.CheckConstraint("magnification_x > 0", name=op.f("ck_review_positive")),
        sa.PrimaryKeyConstraint("review_id", name=op.f("pk_review")),
    )
    op.create_index(op.f("ix_review_snapshot_id"), "review", ["snapshot_id"], unique=False)
    op.create_table(
        "run",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run")),
    )
    op.create_table(
        "skip",
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("article_id", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("is_permanent", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "stage", "reason", name=op.f("pk_skip")),
    )
    op.create_index(op.f("ix_skip_article_id"), "skip", ["article_id"], unique=False)
    op.create_index(op.f("ix_skip_stage_reason"), "skip", ["stage", "reason"], unique=False)
    op.create_table(
        "asset",
        sa.Column("asset_id", sa.Text(), nullable=False),
        sa.Column("article_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("md5", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.CheckConstraint("role IN ('pdf', 'xml', 'json', 'media')", name=op.f("ck_asset_role")),
        sa.ForeignKeyConstraint(
            ["article_id"], ["article.article_id"], name=op.f("fk_asset_article_id_article"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_asset")),
        sa.UniqueConstraint("article_id", "name", name=op.f("uq_asset_article_id_name")),
    )
    op.create_index(op.f("ix_asset_article_id"), "asset", ["article_id"], unique=False)
    op.create_table(
        "figure",
        sa.Column("figure_id", sa.Text(), nullable=False),
        sa.Column("article_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("rights", sa.Text(), nullable=True),
        sa.Column("page_number", sa.Integer(), nullable=True),
        sa.Column("page_x0_pt", sa.Double(), nullable=True),
        sa.Column("page_y0_pt", sa.Double(), nullable=True),
        sa.Column("page_x1_pt", sa.Double(), nullable=True),
        sa.Column("page_y1_pt", sa.Double(), nullable=True),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("pixels_from", sa.Text(), nullable=False),
        sa.CheckConstraint("pixels_from IN ('pdf', 'media', 'render')", name=op.f("ck_figure_pixels_from")),
        sa.ForeignKeyConstraint(
            ["article_id"], ["article.article_id"], name=op.f("fk_figure_article_id_article"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("figure_id", name=op.f("pk_figure")),
    )
    op.create_index(op.f("ix_figure_article_id"), "figure", ["article_id"], unique=False)
    op.create_table(
        "panel",
        sa.Column("panel_id", sa.Text(), nullable=False),
        sa.Column("figure_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("x0_px", sa.Integer(), nullable=False),
        sa.Column("y0_px", sa.Integer(), nullable=False),
        sa.Column("x1_px", sa.Integer(), nullable=False),
        sa.Column("y1_px", sa.Integer(), nullable=False),
        sa.Column("page_x0_pt", sa.Double(), nullable=True),
        sa.Column("page_y0_pt", sa.Double(), nullable=True),
        sa.Column("page_x1_pt", sa.Double(), nullable=True),
        sa.Column("page_y1_pt", sa.Double(), nullable=True),
        sa.Column("native_width_px", sa.Integer(), nullable=False),
        sa.Column("native_height_px", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("kind_score", sa.Double(), nullable=False),
        sa.Column("organ", sa.Text(), nullable=True),
        sa.Column("species", sa.Text(), nullable=True),
        sa.Column("diagnosis_text", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('he', 'ihc', 'other_stain', 'fluorescence', 'cytology', 'gross', 'radiology', 'electron', 'gel', 'chart', 'drawing', 'other')",
            name=op.f("ck_panel_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["figure_id"], ["figure.figure_id"], name=op.f("fk_panel_figure_id_figure"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("panel_id", name=op.f("pk_panel")),
    )
    op.create_index(op.f("ix_panel_figure_id"), "panel", ["figure_id"], unique=False)
    op.create_index(op.f("ix_panel_kind"), "panel", ["kind"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("panel_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("stated_x", sa.Double(), nullable=True),
        sa.Column("objective_x", sa.Double(), nullable=True),
        sa.Column("reading", sa.Text(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("bar_px", sa.Double(), nullable=True),
        sa.Column("mpp_um", sa.Double(), nullable=True),
        sa.Column("magnification_x", sa.Double(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.CheckConstraint("kind IN ('caption', 'scale_bar', 'metadata')", name=op.f("ck_evidence_kind")),
        sa.CheckConstraint("mpp_um > 0", name=op.f("ck_evidence_positive")),
        sa.ForeignKeyConstraint(
            ["panel_id"], ["panel.panel_id"], name=op.f("fk_evidence_panel_id_panel"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evidence_id", name=op.f("pk_evidence")),
    )
    op.create_index(op.f("ix_evidence_panel_id"), "evidence", ["panel_id"], unique=False)
    op.create_table(
        "snapshot",
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("panel_id", sa.Text(), nullable=False),
        sa.Column("x0_px", sa.Integer(), nullable=False),
        sa.Column("y0_px", sa.Integer(), nullable=False),
        sa.Column("x1_px", sa.Integer(), nullable=False),
        sa.Column("y1_px", sa.Integer(), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("he_score", sa.Double(), nullable=False),
        sa.Column("tissue_share", sa.Double(), nullable=False),
        sa.Column("image_path", sa.Text(), nullable=False),
        sa.Column("image_sha256", sa.Text(), nullable=False),
        sa.Column("phash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["panel_id"], ["panel.panel_id"], name=op.f("fk_snapshot_panel_id_panel"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("snapshot_id", name=op.f("pk_snapshot")),
    )
    op.create_index(op.f("ix_snapshot_image_sha256"), "snapshot", ["image_sha256"], unique=False)
    op.create_index(op.f("ix_snapshot_panel_id"), "snapshot", ["panel_id"], unique=False)
    op.create_table(
        "estimate",
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("magnification_x", sa.Double(), nullable=True),
        sa.Column("magnification_lo_x", sa.Double(), nullable=True),
        sa.Column("magnification_hi_x", sa.Double(), nullable=True),
        sa.Column("mpp_um", sa.Double(), nullable=True),
        sa.Column("mpp_lo99_um", sa.Double(), nullable=True),
        sa.Column("mpp_hi99_um", sa.Double(), nullable=True),
        sa.Column("abstained", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "magnification_lo_x > 0 AND magnification_lo_x <= magnification_hi_x", name=op.f("ck_estimate_interval")
        ),
        sa.CheckConstraint("mpp_um > 0 AND magnification_x > 0", name=op.f("ck_estimate_positive")),
        sa.ForeignKeyConstraint(["model_id"], ["model.model_id"], name=op.f("fk_estimate_model_id_model")),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.snapshot_id"], name=op.f("fk_estimate_snapshot_id_snapshot"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "model_id", name=op.f("pk_estimate")),
    )
    op.create_index(op.f("ix_estimate_model_id"), "estimate", ["model_id"], unique=False)
    op.execute(SNAPSHOTS)


def downgrade() -> None:
    raise NotImplementedError("a catalog is never taken back; restore a copy")

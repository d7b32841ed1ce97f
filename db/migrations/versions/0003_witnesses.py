"""The witnesses of a panel's scale, what they say together, and where organ, species and diagnosis were read.

Revision 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# As in revision 0002, with the reconciled value of the table `reconciled` in the place of the rule written here; that rule
# is left for snapshots that were annotated before there was such a row. A reviewer's number still goes before all.
SNAPSHOTS = """
CREATE VIEW snapshots AS
WITH witness AS (
    SELECT s.*, p.figure_id, f.article_id,
           a.source, a.pmcid, a.doi, a.title, a.journal, a.year, a.group_name, a.is_retracted,
           a.licence_code, a.licence_url, a.text_licence_code, a.copyright_line, a.citation,
           f.label AS figure_label, f.rights, f.page_number,
           p.label AS panel_label, p.caption, p.kind, p.kind_score, p.organ, p.species, p.diagnosis_text, p.organ_id,
           e.model_id, e.mpp_um AS image_mpp_um,
           10.0 / e.magnification_hi_x AS image_mpp_lo_um, 10.0 / e.magnification_lo_x AS image_mpp_hi_um,
           e.mpp_lo99_um AS image_mpp_lo99_um, e.mpp_hi99_um AS image_mpp_hi99_um,
           e.abstained AS image_abstained, e.reason AS image_reason,
           CASE WHEN NOT e.abstained THEN e.mpp_um END AS trusted_mpp_um,
           b.mpp_um AS bar_mpp_um, c.stated_x, c.objective_x,
           (SELECT x.mpp_um FROM evidence x WHERE x.panel_id = s.panel_id AND x.kind = 'metadata'
            ORDER BY COALESCE(x.score, 0) DESC, x.evidence_id LIMIT 1) AS metadata_mpp_um,
           CASE WHEN k.snapshot_id IS NOT NULL THEN 1 ELSE 0 END AS is_reconciled,
           k.mpp_um AS joint_mpp_um, k.mpp_lo_um AS joint_lo_um, k.mpp_hi_um AS joint_hi_um,
           k.source AS joint_source, k.agreement AS joint_agreement, k.reason AS scale_reason,
           (SELECT r.magnification_x FROM newest_review r
            WHERE r.snapshot_id = s.snapshot_id AND r.verdict = 'correct' AND r.magnification_x IS NOT NULL
            ORDER BY r.created_at DESC, r.review_id DESC LIMIT 1) AS review_x,
           (SELECT CASE WHEN MAX(r.magnification_x) > 1.1 * MIN(r.magnification_x) THEN 1 ELSE 0 END
            FROM newest_review r WHERE r.snapshot_id = s.snapshot_id AND r.verdict = 'correct') AS numbers_differ,
           (SELECT CASE WHEN COUNT(DISTINCT r.verdict) > 1 THEN 'differ' ELSE MIN(r.verdict) END
            FROM newest_review r WHERE r.snapshot_id = s.snapshot_id) AS review_verdict
    FROM snapshot s
    JOIN panel p ON p.panel_id = s.panel_id
    JOIN figure f ON f.figure_id = p.figure_id
    JOIN article a ON a.article_id = f.article_id
    LEFT JOIN reconciled k ON k.snapshot_id = s.snapshot_id
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
        WHEN j.is_reconciled = 1 THEN j.joint_source
        WHEN j.is_conflict = 1 THEN NULL
        WHEN j.bar_mpp_um IS NOT NULL THEN 'scale_bar'
        WHEN j.trusted_mpp_um IS NOT NULL THEN 'image'
    END AS magnification_source, CASE
        WHEN j.numbers_differ = 1 OR j.review_verdict = 'differ' THEN 'reviews_differ'
        WHEN j.review_x IS NOT NULL THEN 'reviewed'
        WHEN j.is_reconciled = 1 THEN j.joint_agreement
        WHEN j.is_conflict = 1 THEN 'conflict'
        WHEN j.bar_mpp_um IS NOT NULL AND j.trusted_mpp_um IS NOT NULL THEN 'agree'
        WHEN j.bar_mpp_um IS NOT NULL OR j.trusted_mpp_um IS NOT NULL THEN 'single'
    END AS agreement
    FROM judged j
)
SELECT snapshot_id, panel_id, figure_id, article_id, pmcid, licence_code, licence_url, citation, figure_label, panel_label,
       caption, kind, he_score, image_path, image_sha256, width_px, height_px, model_id,
       image_mpp_um, image_mpp_lo_um, image_mpp_hi_um, image_abstained, bar_mpp_um, stated_x, objective_x,
       CASE WHEN magnification_source = 'review' THEN 10.0 / review_x
            WHEN is_reconciled = 1 THEN joint_mpp_um
            WHEN magnification_source = 'scale_bar' THEN bar_mpp_um
            WHEN magnification_source = 'image' THEN image_mpp_um END AS mpp_um,
       CASE WHEN magnification_source = 'review' THEN NULL WHEN is_reconciled = 1 THEN joint_lo_um
            WHEN magnification_source = 'image' THEN image_mpp_lo_um END AS mpp_lo_um,
       CASE WHEN magnification_source = 'review' THEN NULL WHEN is_reconciled = 1 THEN joint_hi_um
            WHEN magnification_source = 'image' THEN image_mpp_hi_um END AS mpp_hi_um,
       CASE WHEN magnification_source = 'review' THEN review_x
            WHEN is_reconciled = 1 THEN 10.0 / joint_mpp_um
            WHEN magnification_source = 'scale_bar' THEN 10.0 / bar_mpp_um
            WHEN magnification_source = 'image' THEN 10.0 / image_mpp_um END AS magnification_x,
       magnification_source, agreement, review_verdict,
       image_mpp_lo99_um, image_mpp_hi99_um, image_reason, kind_score, tissue_share, phash, x0_px, y0_px, x1_px, y1_px,
       page_number, rights, organ, species, diagnosis_text, source, doi, title, journal, year, group_name, is_retracted,
       text_licence_code, copyright_line, metadata_mpp_um, nucleus_px, n_nuclei, scale_reason, organ_id
FROM decided
"""

PANEL_COLUMNS = {
    "organ_id": sa.Text, "organ_source": sa.Text, "organ_score": sa.Double, "species_source": sa.Text,
    "species_score": sa.Double, "diagnosis_source": sa.Text, "diagnosis_score": sa.Double,
}
SNAPSHOT_COLUMNS = {"nucleus_px": sa.Double, "nucleus_spread_log2": sa.Double, "n_nuclei": sa.Integer}
EVIDENCE_COLUMNS = {
    "origin": sa.Text, "x0_px": sa.Integer, "y0_px": sa.Integer, "x1_px": sa.Integer, "y1_px": sa.Integer,
}


def upgrade() -> None:
    op.execute("DROP VIEW snapshots")
    tables = (("panel", PANEL_COLUMNS), ("snapshot", SNAPSHOT_COLUMNS), ("evidence", EVIDENCE_COLUMNS))
    for table, columns in tables:
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind(), nullable=True))
    op.create_table(
        "reconciled",
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("mpp_um", sa.Double(), nullable=True),
        sa.Column("mpp_lo_um", sa.Double(), nullable=True),
        sa.Column("mpp_hi_um", sa.Double(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("agreement", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("log_likelihoods", sa.JSON(), nullable=False),
        sa.CheckConstraint("agreement IN ('agree', 'single', 'conflict')", name=op.f("ck_reconciled_agreement")),
        sa.CheckConstraint("mpp_um > 0", name=op.f("ck_reconciled_positive")),
        sa.CheckConstraint(
            "source IN ('scale_bar', 'metadata', 'image', 'caption')", name=op.f("ck_reconciled_source")
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshot.snapshot_id"],
            name=op.f("fk_reconciled_snapshot_id_snapshot"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", name=op.f("pk_reconciled")),
    )
    op.execute(SNAPSHOTS)


def downgrade() -> None:
    raise NotImplementedError("a catalog is never taken back; restore a copy")

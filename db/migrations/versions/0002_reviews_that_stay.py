"""Reviews know the place they speak of, what else they change, and can be withdrawn; the queue of the review page.

Revision 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What counts of the reviews: the newest of each reviewer. Withdrawn ones, those whose region is gone, and magnifications
# guessed blind, which measure people and decide nothing, are left out. Another kind than H&E is a rejection.
NEWEST_REVIEW = """
CREATE VIEW newest_review AS
SELECT r.review_id, r.snapshot_id, r.reviewer, r.created_at, r.magnification_x, r.kind, r.panel_label,
       CASE WHEN r.kind <> 'he' THEN 'reject' ELSE r.verdict END AS verdict
FROM review r
WHERE r.withdrawn_at IS NULL AND NOT r.is_orphan AND NOT (r.is_blind AND r.verdict = 'correct')
  AND NOT EXISTS (
    SELECT 1 FROM review n
    WHERE n.snapshot_id = r.snapshot_id AND n.reviewer = r.reviewer
      AND n.withdrawn_at IS NULL AND NOT n.is_orphan AND NOT (n.is_blind AND n.verdict = 'correct')
      AND (n.created_at > r.created_at OR (n.created_at = r.created_at AND n.review_id > r.review_id)))
"""

# As in revision 0001, with each snapshot's reviews looked up by its id: a question about one snapshot reads no others.
SNAPSHOTS = """
CREATE VIEW snapshots AS
WITH witness AS (
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
        WHEN j.numbers_differ = 1 OR j.review_verdict = 'differ' THEN 'reviews_differ'
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

KINDS = (
    "kind IN ('he', 'ihc', 'other_stain', 'fluorescence', 'cytology', 'gross', 'radiology', 'electron', 'gel',"
    " 'chart', 'drawing', 'other')"
)
CHANGES_SOMETHING = (
    "verdict <> 'correct' OR magnification_x IS NOT NULL OR kind IS NOT NULL OR panel_label IS NOT NULL"
    " OR x0_px IS NOT NULL"
)


def _reviews_of_0001() -> sa.Table:
    # SQLite cannot alter a check; the table is copied, and reflection would lose the checks that stay
    return sa.Table(
        "review",
        sa.MetaData(),
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
        sa.Index(op.f("ix_review_snapshot_id"), "snapshot_id"),
    )


def upgrade() -> None:
    op.execute("DROP VIEW snapshots")
    with op.batch_alter_table("review", copy_from=_reviews_of_0001(), recreate="auto") as batch:
        batch.add_column(sa.Column("kind", sa.Text(), nullable=True))
        batch.add_column(sa.Column("panel_label", sa.Text(), nullable=True))
        for name in ("x0_px", "y0_px", "x1_px", "y1_px"):
            batch.add_column(sa.Column(name, sa.Integer(), nullable=True))
        batch.add_column(sa.Column("is_blind", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("withdrawn_at", sa.Text(), nullable=True))
        batch.add_column(sa.Column("is_orphan", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("article_id", sa.Text(), nullable=True))
        batch.add_column(sa.Column("figure_id", sa.Text(), nullable=True))
        batch.add_column(sa.Column("page_number", sa.Integer(), nullable=True))
        for name in ("page_x0_pt", "page_y0_pt", "page_x1_pt", "page_y1_pt"):
            batch.add_column(sa.Column(name, sa.Double(), nullable=True))
        for name in ("figure_x0_px", "figure_y0_px", "figure_x1_px", "figure_y1_px"):
            batch.add_column(sa.Column(name, sa.Double(), nullable=True))
        batch.drop_constraint(op.f("ck_review_correct_has_number"), type_="check")
        batch.create_check_constraint(op.f("ck_review_changes_something"), CHANGES_SOMETHING)
        batch.create_check_constraint(op.f("ck_review_kind"), KINDS)
    op.create_index(op.f("ix_review_article_id"), "review", ["article_id"], unique=False)
    op.create_index(op.f("ix_review_reviewer_created_at"), "review", ["reviewer", "created_at"], unique=False)
    op.create_table(
        "review_queue",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("doubt", sa.Text(), nullable=False),
        sa.Column("shuffle", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("organ", sa.Text(), nullable=True),
        sa.Column("journal", sa.Text(), nullable=True),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("licence_code", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshot.snapshot_id"],
            name=op.f("fk_review_queue_snapshot_id_snapshot"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_review_queue")),
    )
    op.create_index(op.f("ix_review_queue_snapshot_id"), "review_queue", ["snapshot_id"], unique=True)
    for names in (["rank"], ["shuffle"], ["verdict", "rank"], ["organ", "rank"], ["journal", "rank"], ["year", "rank"]):
        columns = [*names, "position"]
        op.create_index(op.f(f"ix_review_queue_{'_'.join(columns)}"), "review_queue", columns, unique=False)
    op.execute(NEWEST_REVIEW)
    op.execute(SNAPSHOTS)


def downgrade() -> None:
    raise NotImplementedError("a catalog is never taken back; restore a copy")

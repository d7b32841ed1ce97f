"""Articles that the source took back or replaced, and what each run changed.

Revision 0004.
"""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# As in revision 0003, with two columns of the article at the end.
SNAPSHOTS = (
    import_module("db.migrations.versions.0003_witnesses")
    .SNAPSHOTS.replace("a.group_name, a.is_retracted,", "a.group_name, a.is_retracted, a.is_removed, a.superseded_by,")
    .replace("scale_reason, organ_id\n", "scale_reason, organ_id,\n       is_removed, superseded_by\n")
)

# How fine the pixels were that a reviewer saw: native pixels a point of the page, or a pixel of the figure's raster.
PX_DENSITY = """
UPDATE review SET px_density = (
    SELECT p.native_width_px / CASE WHEN review.page_x0_pt IS NOT NULL THEN p.page_x1_pt - p.page_x0_pt
                                    ELSE 1.0 * (p.x1_px - p.x0_px) END
    FROM snapshot s JOIN panel p ON p.panel_id = s.panel_id WHERE s.snapshot_id = review.snapshot_id)
WHERE NOT is_orphan AND (page_x0_pt IS NOT NULL OR figure_x0_px IS NOT NULL)
"""


def upgrade() -> None:
    op.execute("DROP VIEW snapshots")
    op.add_column("article", sa.Column("is_removed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("article", sa.Column("superseded_by", sa.Text(), nullable=True))
    op.add_column("review", sa.Column("px_density", sa.Double(), nullable=True))
    op.execute(PX_DENSITY)
    op.create_table(
        "change",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "subject_id", "what", name=op.f("pk_change")),
    )
    op.execute(SNAPSHOTS)


def downgrade() -> None:
    raise NotImplementedError("a catalog is never taken back; restore a copy")

"""Articles as files: JATS XML and PDF in, figures with their captions and native pixels out."""

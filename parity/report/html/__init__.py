"""The report as one self-contained page: `page.html`. It loads nothing and can send nothing."""

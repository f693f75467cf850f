# %% [markdown]
# # Start here
#
# The course runs. Press **Shift + Enter** to run a cell, or choose *Run → Run All Cells* from the menu.

# %%
import sys

print("[ OK ] Python", "is new enough" if sys.version_info >= (3, 11) else "is too old")

# %%
import sbert_lab

print("[ OK ] package", sbert_lab.__name__)

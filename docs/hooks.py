"""Hooks of mkdocs: the site also holds the files outside of docs/ that pages show or link to."""
import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
OUTSIDE = re.compile(r'\]\(\.\./([^)#]+)')  # a link from docs/PAGE.md to a file of the repository


def on_files(files, config):
    """Add the linked files, and the pictures beside a linked page."""
    text = ''.join(page.content_string for page in files.documentation_pages())
    linked = {ROOT / path for path in OUTSIDE.findall(text)}
    pages = {path for path in linked if path.suffix == '.md'}
    pictures = {picture for page in pages for picture in page.parent.glob('*.png')}
    for path in sorted(filter(pathlib.Path.is_file, linked | pictures)):
        files.append(File.generated(
            config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, **_):
    """Lead the links to these files, and drop the mark of blocks that no test runs."""
    if '/' in page.file.src_uri:  # in docs/api/ or outside of docs/
        return markdown
    return OUTSIDE.sub(r'](\1', markdown).replace('```python notest', '```python')

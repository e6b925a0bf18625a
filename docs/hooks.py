"""Hooks of mkdocs: the site also holds the files outside of docs/ that pages show or link to."""
import pathlib
import posixpath
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
OUTSIDE = re.compile(r'\]\(\.\./([^)#]+)')  # a link from docs/PAGE.md to a file of the repository
LINK = re.compile(r'(?<!!)\[([^]]+)\]\((?!http)([^)#]+)[^)]*\)')


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


def on_page_markdown(markdown, page, files, **_):
    """Lead links to the files in the site, and drop the mark of blocks that no test runs."""
    source = page.file.src_uri
    if source.startswith('api/'):
        return markdown
    if '/' in source:  # the page lies outside of docs/
        return LINK.sub(lambda link: _if_in_site(link, source, files), markdown)
    return OUTSIDE.sub(r'](\1', markdown).replace('```python notest', '```python')


def _if_in_site(link, source, files):
    """A link from a page outside of docs/; the text alone if the site lacks the file."""
    text, path = link.groups()
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if files.get_file_from_path(target):
        return link[0]
    page = target.removeprefix('docs/')
    up = '../' * source.count('/')
    return f'[{text}]({up}{page})' if files.get_file_from_path(page) else text

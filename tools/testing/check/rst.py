#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# rst.py FILE...: does the documentation parse? A table or a title that does not
# is left out of the page, or put into the paragraph before it, without a word.
# Of what Sphinx and the kernel add to docutils, only the names are known here.

import re
import sys

import docutils.core
from docutils import nodes
from docutils.parsers.rst import Directive, directives, roles


class Foreign(Directive):
    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = dict.fromkeys(
        ("identifiers", "functions", "internal", "export", "lines", "language",
         "maxdepth", "caption"), directives.unchanged)

    def run(self):
        return []


def foreign_role(_name, rawtext, text, *_args, **_kwargs):
    return [nodes.literal(rawtext, text)], []


for name in ("kernel-doc", "literalinclude", "toctree", "code-block", "highlight"):
    directives.register_directive(name, Foreign)
for name in ("ref", "doc", "c:func", "c:type"):
    roles.register_local_role(name, foreign_role)

bad = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as page:
        tree = docutils.core.publish_doctree(
            page.read(), source_path=path,
            settings_overrides={"report_level": 5, "halt_level": 5})
    # A title that became part of a paragraph, or what a merge left behind.
    for text in tree.findall(nodes.paragraph):
        if re.search(r"^(=+|-+|~+|<{7}.*|>{7}.*)$", text.rawsource, re.M):
            print(f"{path}: a title in a paragraph:\n{text.rawsource}")
            bad = 1
    for message in tree.findall(nodes.system_message):
        if message["level"] >= 2:
            line = message.get("line", "?")
            print(f"{path}:{line}: {message.astext()}")
            bad = 1
sys.exit(bad)

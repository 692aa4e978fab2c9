#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
#
# describe.py FILE: a C program that is only compiled if each structure of that
# description has the layout that it has in the uAPI headers, and that prints the
# constants as syz-extract does. What the description names and nobody defines, or
# defines and does not name, is an error.

import re
import sys

# What dev_iommu.txt and sys.txt of syzkaller define.
UPSTREAM = {'fd': 4, 'fd_iommufd': 4, 'ioas_handle': 4}
UPSTREAM_FLAGS = {'open_flags'}
INTS = {'int8': 1, 'int16': 2, 'int32': 4, 'int64': 8, 'intptr': 8}
# Those of the description alone.
OURS = {'vfio_feature_get', 'vfio_feature_set', 'vfio_feature_flag',
        'vfio_feature_probe', 'vfio_feature_any', 'vfio_mig_end',
        'vfio_mig_other', 'vfio_mig_stream'}


def fail(why):
    sys.exit(f'describe.py: {why}')


class Description:
    def __init__(self, text):
        self.includes, self.defines = [], []
        self.resources, self.flags = dict(UPSTREAM), {}
        self.structs, self.unions, self.params = {}, {}, {}
        self.calls = []
        lines = [line for line in text.split('\n')
                 if line and not line.startswith('#')]
        while lines:
            self.line(lines.pop(0), lines)

    def line(self, line, rest):
        for pattern, handler in (
                (r'include <(.*)>$', self.includes.append),
                (r'define (\w+)\t(.*)$', lambda *m: self.defines.append(m)),
                (r'resource (\w+)\[(\w+)\]$', self.resource),
                (r'(?:type )?(\w+)(?:\[(.*)\])? ([{[])$',
                 lambda *m: self.block(*m, rest)),
                (r'(\w+) = (.*)$', self.flag),
                (r'(\w+\$\w+)\((.*)\)(?: (\w+))?$',
                 lambda *m: self.calls.append(m))):
            match = re.match(pattern, line)
            if match:
                handler(*match.groups())
                return
        fail(f'what is this: {line}')

    def resource(self, name, base):
        self.resources[name] = INTS.get(base) or self.resources[base]

    def flag(self, name, values):
        self.flags[name] = values.split(', ')

    def block(self, name, params, kind, rest):
        fields = []
        while rest[0][0] == '\t':
            fields.append(rest.pop(0).split(None, 1))
        if rest.pop(0)[0] != {'{': '}', '[': ']'}[kind]:
            fail(f'{name} has no end')
        self.params[name] = params.split(', ') if params else []
        (self.structs if kind == '{' else self.unions)[name] = fields

    # Size and alignment; size None if it varies.
    def layout(self, kind, params=()):
        kind = re.sub(r'\s*\((in|out|inout)\)$', '', kind)
        head, inner = re.match(r'(\w+)(?:\[(.*)\])?$', kind).groups()
        args = split(inner) if inner else []
        if head in INTS:
            return INTS[head], INTS[head]
        if head in ('const', 'len', 'flags'):
            if head == 'flags' and args[0] not in self.flags:
                fail(f'no flags {args[0]}')
            return INTS[args[1]], INTS[args[1]]
        if head == 'array':
            size, align = self.layout(args[0], params)
            if len(args) < 2 or ':' in args[1] or size is None:
                return None, align
            return size * int(args[1]), align
        if head == 'string':
            return int(args[1]) if len(args) > 1 else None, 1
        if head in self.resources:
            return self.resources[head], self.resources[head]
        if head in params:
            return None, 8
        if head in self.unions:
            aligns = [self.layout(kind)[1] for _, kind in self.unions[head]]
            return None, max(aligns)
        if head not in self.structs:
            fail(f'no type {head}')
        for arg in args:
            if arg.islower():
                self.layout(arg)
        return self.struct(head)[1:]

    # Fields as (name, offset, size), then size and alignment of the whole.
    def struct(self, name):
        at, most, fields = 0, 1, []
        for field, kind in self.structs[name]:
            size, align = self.layout(kind, self.params[name])
            most = max(most, align)
            if at is not None:
                at = -(-at // align) * align
            fields.append((field, at, size))
            at = None if None in (at, size) else at + size
        return fields, at and -(-at // most) * most, most

    def check_argument(self, kind):
        head, inner = re.match(r'(\w+)(?:\[(.*)\])?$', kind).groups()
        args = split(inner) if inner else []
        if head == 'ptr':
            self.layout(args[1])
        elif head == 'flags':
            if args[0] not in UPSTREAM_FLAGS | set(self.flags):
                fail(f'no flags {args[0]}')
        elif head not in ('const', 'len', 'buffer', 'intptr'):
            self.layout(kind)

    def check_names(self):
        for call, args, result in self.calls:
            for arg in split(args):
                self.check_argument(arg.split(None, 1)[1])
            if result and result not in self.resources:
                fail(f'no resource {result}')
        for name in list(self.structs) + list(self.unions):
            if name in self.structs:
                self.struct(name)
            else:
                self.layout(name)
        known = [*self.structs, *self.unions, *self.flags,
                 *(set(self.resources) - set(UPSTREAM) - {'vfio_devid'})]
        used = self.referenced()
        for name in known:
            if name not in used:
                fail(f'nobody uses {name}')

    def referenced(self):
        text = ' '.join(args + ' ' + (result or '')
                        for _, args, result in self.calls)
        blocks = list(self.structs.values()) + list(self.unions.values())
        text += ' '.join(kind for fields in blocks for _, kind in fields)
        return set(re.findall(r'\w+', text))

    def constants(self):
        names = {name for name, _ in self.defines}
        text = ' '.join(', '.join(v) for v in self.flags.values()
                        if v[0][0] != '"')
        text += ' ' + ' '.join(args for _, args, _ in self.calls)
        for name, fields in self.structs.items():
            for _, kind in fields:
                if not set(re.findall(r'\w+', kind)) & set(self.params[name]):
                    text += ' ' + re.sub(r'"[^"]*"', '', kind)
        text = re.sub(r'"[^"]*"', '', text)
        return sorted(names | set(re.findall(r'\b[A-Z][A-Z0-9_]{4,}(?:v2)?\b',
                                             text)))


def split(text):
    parts, depth, last = [], 0, ''
    for c in text:
        depth += (c == '[') - (c == ']')
        if c == ',' and not depth:
            parts.append(last.strip())
            last = ''
        else:
            last += c
    return parts + [last.strip()]


# A structure that is only described up to some field is a prefix.
def asserts(d):
    for name in d.structs:
        fields, size, _ = d.struct(name)
        if name in OURS:
            continue
        for field, at, length in fields:
            member = f'((struct {name} *)0)->{field}'
            yield (f'_Static_assert(offsetof(struct {name}, {field}) == {at} && '
                   f'sizeof({member}) == {length}, "{name}.{field}");')
        yield f'_Static_assert(sizeof(struct {name}) == {size}, "{name}");'
    for name in ('vfio_feature_probe', 'vfio_feature_flag'):
        yield (f'_Static_assert(sizeof(struct vfio_device_feature) == '
               f'{d.struct(name)[1]}, "{name}");')


def main():
    d = Description(open(sys.argv[1]).read())
    d.check_names()
    print('#include <stddef.h>\n#include <stdio.h>\n#include <string.h>')
    print('#include <sys/ioctl.h>')
    print('#include <sys/syscall.h>\n#include <fcntl.h>')
    for path in d.includes:
        if not path.startswith('uapi/asm') and 'fcntl' not in path:
            print(f'#include <{path.removeprefix("uapi/")}>')
    for name, value in d.defines:
        print(f'#define {name} ({value})')
    print('\n'.join(asserts(d)))
    print('int main(void)\n{')
    # Strings of syzkaller have no escapes, so the magic is a number there.
    print('\tunsigned long long magic = VFIO_MIG_STREAM_MAGIC_LE;')
    print('\tif (memcmp(&magic, VFIO_MIG_STREAM_MAGIC, sizeof(magic)))')
    print('\t\treturn 1;')
    for name in d.constants():
        print(f'\tprintf("%s = %llu\\n", "{name}", (unsigned long long)({name}));')
    for name in sorted({call.split('$')[0] for call, *_ in d.calls}):
        if not name.startswith('syz_'):
            print(f'\tprintf("__NR_%s = %d\\n", "{name}", __NR_{name});')
    print('\treturn 0;\n}')


main()

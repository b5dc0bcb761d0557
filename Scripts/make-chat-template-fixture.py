#!/usr/bin/env python3
"""Chat templates in the manner of published ones, and what Jinja renders with them.

Usage: Scripts/make-chat-template-fixture.py FILE

Needs the package jinja2. FILE, JSON, gets each template with the values it was given and the text, or that it refused.
The environment is that of Hugging Face's templates: blocks take the line break behind them and the spaces before them,
`tojson` is json.dumps without escapes for HTML, `raise_exception` and `strftime_now` are there.
"""
import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import SandboxedEnvironment

DATE = datetime.datetime(2026, 3, 9, 4, 5, 6)


class Generation(jinja2.ext.Extension):
    """The block that marks what an assistant wrote."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def environment():
    made = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def refuse(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = DATE.strftime
    return made


TEMPLATES = {
    "plain turns": """{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}""",
    "system first": """{%- if messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] | trim -%}
    {%- set messages = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
{%- endif -%}
{{- bos_token -}}
{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('Roles must alternate between user and assistant') -}}
    {%- endif -%}
    {%- if loop.first and system -%}
        {%- set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] -%}
    {%- else -%}
        {%- set content = message['content'] -%}
    {%- endif -%}
    {%- if message['role'] == 'user' -%}
        {{- '[INST] ' + content | trim + ' [/INST]' -}}
    {%- elif message['role'] == 'assistant' -%}
        {{- ' ' + content | trim + ' ' + eos_token -}}
    {%- endif -%}
{%- endfor -%}""",
    "tools in a list": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nSignatures within <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(last=messages | length - 1, steps=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.steps and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.steps = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or reasoning) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if call.function %}
                    {%- set call = call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- call.name }}
                {{- '", "arguments": ' }}
                {%- if call.arguments is string %}
                    {{- call.arguments }}
                {%- else %}
                    {{- call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "headers and date": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none and tools is defined %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}""",
    "macros of types": """{%- macro render_type(spec, depth=0) -%}
    {%- if spec.type == "array" -%}
        {{- "list[" + render_type(spec['items'], depth + 1) + "]" -}}
    {%- elif spec.type is iterable and spec.type is not string -%}
        {{- spec.type | join(" | ") -}}
    {%- elif spec.enum is defined -%}
        {{- spec.enum | map('tojson') | join(" | ") -}}
    {%- else -%}
        {{- {"string": "str", "integer": "int", "number": "float"}.get(spec.type, spec.type) -}}
    {%- endif -%}
{%- endmacro -%}
{%- macro render_tool(tool) %}
def {{ tool.name }}(
{%- for name, spec in tool.parameters.properties.items() %}
    {{- name }}: {{ render_type(spec) }}
    {%- if name not in tool.parameters.required %} = None{% endif %}
    {%- if not loop.last %}, {% endif %}
{%- endfor -%}
):
    \"\"\"{{ tool.description | default('no description', true) }}\"\"\"
{% endmacro -%}
{%- for tool in tools | default([]) -%}
{{ render_tool(tool.function) }}
{%- endfor -%}
{% for message in messages %}{{ message.role | upper }}: {{ message.content }}
{% endfor %}""",
    "parts of content": """{% for message in messages %}{{ '<s>' if loop.first else '' }}{{ message.role | capitalize }}:
{%- if message.content is string %} {{ message.content }}
{%- else %}
{%- for part in message.content if part.type == 'text' %}
 {{ part.text | replace('\\n', ' ') }}
{%- endfor %}
{%- endif %}
{{ '</s>' if message.role == 'assistant' else '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}Assistant:{% endif %}""",
    "filters": """{{ messages | map(attribute='role') | list }}
{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(' / ') }}
{{ messages | rejectattr('role', 'in', ['system', 'tool']) | list | length }}
{{ [3, 1, 2] | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }}
{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'x': 1} | items | list }}
{{ [1, 1, 2] | unique | list }} {{ 'abc' | reverse }} {{ [1, 2] | reverse | list }} {{ '42' | int + 1 }} {{ 'x' | int(7) }} {{ '2.5' | float }}
{{ -3 | abs }} {{ (-3) | abs }} {{ ' x ' | trim }}| {{ 'aXbXc' | replace('X', '-') }} {{ [1, none, 'a'] | select | list }} {{ [] | first | default('none') }}
{{ ['a', 'b'] | first }} {{ ['a', 'b'] | last }} {{ 'hello' | length }} {{ 'a\\nb\\n\\nc' | indent(2) }} {{ 'a\\nb' | indent(width=3, first=true) }}
{{ undefined_thing | default('d') }} {{ '' | default('e', true) }} {{ '' | default('e') }} {{ none | default('f') }} {{ 'mixed CASE words' | title }} {{ 'ABC' | lower }}
{{ [1, 2, 3] | sum }} {{ [1, 5, 3] | max }} {{ [4, 2] | min }} {{ 3 | string + '!' }} {{ 'a' ~ 1 ~ none ~ true }} {{ [1, 2, 3] | map('string') | join(',') }}""",
    "values": """{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 4 / 2 }} {{ 2 ** 10 }} {{ 1.5 + 2 }} {{ 1e3 }} {{ 1e22 }} {{ 0.1 + 0.2 }}
{{ 1 < 2 <= 2 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' in 'cat' }} {{ 'x' not in ['x'] }} {{ not true or true }} {{ 'yes' if 1 > 2 else 'no' }}|{{ 'gone' if false }}|
{{ [1, 'a', none, true, 1.5, {'k': [1]}] }} {{ (1, 2) }} {{ (1,) }} {{ "it's" }} {{ ['it\\'s', "q\\"q"] }} {{ {'a': none} }} {{ none }} {{ true }}
{{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[-2:] }} {{ [1, 2, 3, 4][::2] }} {{ [1, 2, 3][-1] }} {{ 'abc'[5:] }}|{{ [1, 2, 3][10:] }} {{ 'héllo wörld'[1:3] }}
{{ 'a b  c'.split() }} {{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ '  x '.strip() }} {{ 'xxaxx'.strip('x') }} {{ 'xxa'.lstrip('x') }} {{ 'axx'.rstrip('x') }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.upper() }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.count('bc') }} {{ 'o\\'neil is'.title() }}
{{ {'a': 1}.get('b', 'none') }} {{ {'a': 1}.get('b') }} {{ {'a': 1, 'b': 2}.keys() | list }} {{ {'a': 1}.values() | list }} {{ {'a': {'b': 3}}.a.b }} {{ {'a': 1}['zz'] is defined }}
{{ 1 is number }} {{ 'a' is string }} {{ [] is sequence }} {{ {} is mapping }} {{ none is none }} {{ x is defined }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 'a' is iterable }} {{ true is boolean }} {{ 1 is integer }} {{ 1.0 is float }} {{ 5 is not none }} {{ 3 is eq 3 }} {{ 'a' is in ['a'] }}
{{ range(3) | list }} {{ range(1, 10, 3) | list }} {{ range(3, 0, -1) | list }} {{ 'a' * 3 }} {{ [0] * 2 }} {{ [1] + [2] }} {{ -2 ** 2 }} {{ 'x' 'y' }} {{ dict(a=1, b='c') }}""",
    "json": """{{ {'a': 1, 'b': [true, none, 1.5, 'ü"\\\\\\n']} | tojson }}
{{ {'b': 1, 'a': {'x': []}} | tojson(indent=2) }}
{{ [1, {'k': 'v'}] | tojson(indent=4) }}
{{ {'a': 1, 'b': 2} | tojson(separators=(',', ':')) }}
{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ 'é<&>' | tojson(ensure_ascii=true) }} {{ 'é<&>' | tojson }} {{ {} | tojson(indent=2) }} {{ [] | tojson(indent=2) }}""",
    "loops": """{% for x in [1, 2, 3] %}{{ loop.index }}/{{ loop.length }}{{ loop.revindex }}{{ loop.cycle('a', 'b') }}{{ loop.previtem | default('-') }}{{ loop.nextitem | default('-') }} {% else %}never{% endfor %}
{% for x in [] %}{{ x }}{% else %}empty{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in range(6) if x is even %}{{ loop.index0 }}:{{ x }}{{ "," if not loop.last }}{% endfor %}
{% set n = namespace(count=0, text='') %}{% for a, b in [(1, 2), (3, 4)] %}{% set n.count = n.count + a * b %}{% for c in 'xy' %}{% set n.text = n.text ~ c %}{% endfor %}{% endfor %}{{ n.count }}{{ n.text }}
{% set outer = 1 %}{% for i in [1] %}{% set outer = 2 %}{{ outer }}{% endfor %}{{ outer }}
{% for key in {'p': 1, 'q': 2} %}{{ key }}{% endfor %}{% for c in 'ab' %}[{{ c }}]{% endfor %}
{% set a, b = 1, 'two' %}{{ a }}{{ b }}{% set block %} captured {{ a }} {% endset %}[{{ block }}]""",
    "white space": """  {% if true %}
    kept
  {% endif %}
a {%- if true %} b {%- endif -%}  c
{# a comment #}
x {# within #} y
{%- set z = 1 -%}
   {{ z }}   
   {{- z -}}   
end {%+ if true %} plus {% endif +%}

{% raw %}{{ not rendered }} {% if %}{% endraw %}
last
""",
    "generation": """{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.role }}: {{ m.content }}
{% endif %}{% endfor %}""",
    "refuses": """{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}""",
    "undefined prints nothing": """[{{ nothing }}][{{ messages[0].nothing }}][{{ messages[99] }}]{% if nothing %}no{% endif %}{% for x in nothing %}no{% endfor %}{{ nothing is undefined }}""",
    "undefined member": """{{ nothing.member }}""",
    "steps of reasoning": """{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{{ '<｜User｜>' + message['content'] }}
{%- elif message['role'] == 'assistant' and message['content'] is not none -%}
{%- set content = message['content'] -%}
{%- if '</think>' in content -%}{%- set content = content.split('</think>')[-1] -%}{%- endif -%}
{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<｜Assistant｜><think>\\n' }}{%- endif -%}""",
    "counted turns": """{{ '<extra_id_0>System\\n' }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] | trim }}{% if tools or contexts %}{{ '\\n' }}{% endif %}{% endif %}{% endfor %}{% if tools %}{% for tool in tools %}{{ '<tool> ' + tool | tojson + ' </tool>' }}{% endfor %}{% endif %}{{ '\\n\\n' }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '<extra_id_1>User\\n' + message['content'] | trim + '\\n' }}{% elif message['role'] == 'assistant' %}{{ '<extra_id_1>Assistant\\n' + message['content'] | trim + '\\n' }}{% elif message['role'] == 'tool' %}{{ '<extra_id_1>Tool\\n' + message['content'] | string + '\\n' }}{% endif %}{% endfor %}{% if messages | selectattr('role', 'eq', 'user') | list | length > 1 %}(many){% endif %}""",
    "documents": """{%- set docs = documents | default([]) -%}
{%- if docs | length > 0 -%}
<results>
{% for doc in docs %}
Document: {{ loop.index0 }}
{% for key, value in doc.items() %}
{{ key }}: {{ value }}
{% endfor %}
{%- if not loop.last %}

{% endif %}
{%- endfor %}
</results>
{%- endif -%}
{%- for m in messages %}
<|{{ m.role | upper }}|>{{ m.content }}
{%- endfor %}""",
    "dates": """{{ strftime_now('%Y-%m-%d %H:%M:%S %B %b %A %a %j %p %I %y %%') }} {{ strftime_now('%-d/%-m') }}""",
    "nested choices": """{% for m in messages %}{{ 'S' if m.role == 'system' else 'U' if m.role == 'user' else 'A' if m.role == 'assistant' else 'T' }}{{ (m.content if m.content is string else 'parts') | length }}{{ '.' if loop.last else ',' }}{% endfor %}""",
    "keyword arguments": """{% macro turn(role, content='', end='<e>') %}{{ role }}={{ content }}{{ end }}{% endmacro %}{{ turn('u', 'x') }}{{ turn('a', end='!') }}{{ turn(role='s', content='y', end='') }}""",
    "an error of types": """{{ 'a' + 1 }}""",
    "division by zero": """{{ 1 // 0 }}""",
    "unknown filter": """{{ 'a' | frobnicate }}""",
    "append": """{% set list = [] %}{% for m in messages %}{% set _ = list.append(m.role) %}{% endfor %}{{ list | join('+') }}""",
    "comparisons of none": """{{ none == none }}{{ none != 1 }}{{ '' == none }}{{ [] == [] }}{{ {'a': [1]} == {'a': [1.0]} }}{{ 'a' == ['a'] }}""",
    "tests with not": """{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls is not none and m.tool_calls | length > 0 %}calls {{ m.tool_calls | map(attribute='function.name') | join(', ') }};{% elif m.content is not string %}no text;{% else %}{{ m.content[:5] }};{% endif %}{% endfor %}""",
}
TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "The weather of a place.", "parameters": {
        "type": "object", "properties": {
            "place": {"type": "string"}, "days": {"type": "integer"},
            "kinds": {"type": "array", "items": {"type": "string"}}, "unit": {"enum": ["C", "F"]},
            "level": {"type": ["integer", "null"]}},
        "required": ["place"]}}}]
TALKS = {
    "one turn": {"messages": [{"role": "user", "content": " Hello? "}]},
    "with system": {"messages": [
        {"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Wie groß ist 2 < 3?\n\"ja\""},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nSo: 🙂"}, {"role": "user", "content": "Danke"}]},
    "with tools": {"messages": [
        {"role": "user", "content": "Weather in Köln?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 2}}}]},
        {"role": "tool", "content": "{\"sky\": \"grey\"}"}, {"role": "assistant", "content": "Grey."}], "tools": TOOLS},
    "in parts": {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "Look\nhere"}, {"type": "image"}]},
        {"role": "assistant", "content": None}, {"role": "user", "content": "x"}],
        "documents": [{"title": "A", "text": "a"}, {"title": "B", "text": "b"}], "enable_thinking": False},
}


def main():
    made, cases = environment(), []
    for name, text in TEMPLATES.items():
        for talk, values in TALKS.items():
            given = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": talk != "with system", **values}
            case = {"name": f"{name}, {talk}", "template": text, "values": given}
            try:
                case["text"] = made.from_string(text).render(**json.loads(json.dumps(given)))
            except Exception as error:  # any of Python's: what counts is that it is one
                case["error"] = type(error).__name__ + ": " + str(error)
            cases.append(case)
    pathlib.Path(sys.argv[1]).write_text(json.dumps(
        {"versions": {"jinja2": jinja2.__version__}, "date": DATE.isoformat(), "cases": cases}, indent=0))


if __name__ == "__main__":
    main()

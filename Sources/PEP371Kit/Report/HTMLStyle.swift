/// The style sheet of the page: light and dark, no font or picture from outside.
enum HTMLStyle {
    static let text = """
        :root { color-scheme: light dark; --page: #f6f5f3; --card: #ffffff; --ink: #1d1a18; --soft: #6f6963;
          --rule: #e6e2dd; --linear: #aaa39b; --threads: #2f86c1; --processes: #e8542b; }
        @media (prefers-color-scheme: dark) {
          :root { --page: #141211; --card: #1e1b19; --ink: #f3f0ed; --soft: #a49c94;
            --rule: #37322e; --linear: #7f7770; --threads: #5fb3e8; --processes: #ff7b52; }
        }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
          font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; }
        main { max-width: 1240px; margin: 0 auto; padding: 48px 28px 64px; }
        h1 { font-size: 38px; line-height: 1.15; letter-spacing: -0.02em; margin: 0 0 14px; }
        h2 { font: 700 22px ui-monospace, "DejaVu Sans Mono", monospace; letter-spacing: -0.01em; margin: 0; }
        h3 { font-size: 13px; font-weight: 600; margin: 0 0 6px; }
        p { margin: 0; }
        a { color: inherit; }
        .eyebrow { color: var(--processes); font-size: 13px; font-weight: 700; letter-spacing: 0.08em;
          text-transform: uppercase; margin-bottom: 10px; }
        .lead { color: var(--soft); max-width: 78ch; }
        .facts { display: flex; flex-wrap: wrap; gap: 8px; margin: 20px 0 34px; padding: 0; list-style: none;
          font-size: 13px; }
        .facts li { border: 1px solid var(--rule); background: var(--card); border-radius: 999px; padding: 4px 13px; }
        .facts b { font-weight: 600; }
        .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 14px; margin-bottom: 14px; }
        .tile, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 14px; }
        .tile { padding: 16px 18px 15px; }
        .tile .name { font: 600 13px ui-monospace, "DejaVu Sans Mono", monospace; color: var(--soft); }
        .tile .figure { font-size: 34px; font-weight: 700; letter-spacing: -0.02em; line-height: 1.25; color: var(--processes);
          font-variant-numeric: tabular-nums; }
        .tile .note { font-size: 13px; color: var(--soft); }
        .legend { display: flex; flex-wrap: wrap; gap: 6px 20px; font-size: 13px; color: var(--soft); margin: 22px 2px; }
        .legend span { display: inline-flex; align-items: center; gap: 7px; }
        .legend i { width: 13px; height: 13px; border-radius: 3px; }
        .legend svg { width: 30px; height: 10px; }
        .card { padding: 24px 26px 20px; margin-bottom: 18px; }
        .card .what { color: var(--soft); font-size: 14px; margin: 2px 0 12px; }
        .card .verdict { border-left: 3px solid var(--processes); padding-left: 12px; margin-bottom: 22px; }
        .card .verdict p + p { color: var(--soft); font-size: 14px; }
        .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 22px; }
        .charts svg { width: 100%; height: auto; display: block; }
        h3 small { font-weight: 400; color: var(--soft); font-size: inherit; }
        .grid { stroke: var(--rule); stroke-width: 1; }
        .tick { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
        rect.linear { fill: var(--linear); } rect.threads { fill: var(--threads); } rect.processes { fill: var(--processes); }
        i.linear { background: var(--linear); } i.threads { background: var(--threads); }
        i.processes { background: var(--processes); }
        .median { stroke: var(--ink); stroke-width: 1.2; opacity: 0.55; }
        .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke: var(--soft); }
        .line.threads { stroke: var(--threads); } .line.processes { stroke: var(--processes); }
        .line.ideal { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 9 3 1 3; }
        .dot.threads { fill: var(--threads); } .dot.processes { fill: var(--processes); }
        .line.cpython { stroke-dasharray: 6 4; stroke-width: 1.8; }
        .line.pep { stroke-dasharray: 2 3; stroke-width: 1.4; opacity: 0.6; }
        .dot.cpython { fill: var(--card); stroke-width: 1.6; }
        .dot.cpython.threads { stroke: var(--threads); } .dot.cpython.processes { stroke: var(--processes); }
        details { margin-top: 16px; font-size: 13.5px; }
        summary { cursor: pointer; color: var(--soft); }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; margin-top: 10px; width: 100%; font-variant-numeric: tabular-nums; }
        th, td { text-align: right; padding: 5px 10px; white-space: nowrap; border-top: 1px solid var(--rule); }
        thead th { font-weight: 600; color: var(--soft); border-top: 0; }
        th:first-child, td:first-child { text-align: left; padding-left: 0; }
        tr.first td { border-top-width: 2px; }
        td:first-child i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 8px; }
        footer { color: var(--soft); font-size: 14px; max-width: 90ch; margin-top: 34px; }
        footer p + p { margin-top: 10px; }
        @media print { body { background: none; } .card, .tile { break-inside: avoid; } }
        """
}

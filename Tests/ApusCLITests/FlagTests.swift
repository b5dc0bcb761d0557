import ApusTestSupport
import Foundation
import Testing

/// Gives each flag of each command a value, and looks for an effect or a refusal: none is ignored.
@Suite("Flags")
struct FlagTests {
  /// What `--experimental-dump-help` tells of a command.
  struct Command: Decodable {
    struct Argument: Decodable {
      struct Name: Decodable {
        let kind, name: String
      }
      let kind, valueName: String
      let isOptional: Bool
      let names: [Name]?
      let abstract, defaultValue: String?

      /// As it is typed; a positional argument by its name.
      var flag: String {
        names?.first { $0.kind == "long" }.map { "--\($0.name)" } ?? valueName
      }
    }
    let commandName: String
    let abstract, discussion: String?
    let subcommands: [Command]?
    let arguments: [Argument]?

    /// The commands without subcommands under this one, by what is typed.
    func leaves(under path: String) -> [(path: String, command: Command)] {
      let own = subcommands?.filter { $0.commandName != "help" } ?? []
      if own.isEmpty { return [(path, self)] }
      return own.flatMap { $0.leaves(under: (path + " " + $0.commandName).trimmed) }
    }
  }

  static func commands() throws -> [(path: String, command: Command)] {
    struct Help: Decodable {
      let command: Command
    }
    let text = try apus("--experimental-dump-help").output
    return try JSONDecoder().decode(Help.self, from: Data(text.utf8)).command.leaves(under: "")
  }

  @Test("the help of every command begins with an example, and states every default")
  func help() throws {
    for (path, command) in try Self.commands() {
      #expect(command.discussion?.hasPrefix("EXAMPLE: ") == true, "\(path)")
      #expect(command.discussion?.contains("apus \(path)") == true, "\(path)")
      for argument in command.arguments ?? [] where argument.isOptional && argument.kind != "flag" {
        let isStated =
          argument.defaultValue != nil || argument.abstract?.contains("Default: ") == true
        #expect(isStated, "apus \(path) \(argument.flag)")
      }
    }
  }

  /// Where the inputs of all runs are.
  struct Inputs {
    let folder: TemporaryFolder
    let prices, days, text, lines: String

    init() throws {
      folder = try TemporaryFolder()
      prices = try folder.write(priceTable(rows: 240), to: "prices.csv")
      let days = (0..<240).map { row in
        "0\(row % 9 + 1)/0\(row / 9 % 9 + 1)/20\(10 + row / 81),\(100 + row % 7),\(row % 5)"
      }
      self.days = try folder.write(
        "date,close,volume\n" + days.joined(separator: "\n"), to: "days.csv")
      text = try folder.write(
        String(repeating: "swifts sleep on the wing; ", count: 120), to: "text.txt")
      lines = priceTable(rows: 30)
      let ids = try folder.write("[5, 17, 2]", to: "ids.json")
      #expect(!ids.isEmpty)
    }

    func path(_ name: String) -> String { folder.path + "/" + name }

    /// What a command reads on standard input: rows with dates of two readings where its model's path
    /// goes round by "./".
    func input(of words: [String]) throws -> String {
      if words.first == "embed" { return "the wing\n" }
      guard words.contains(where: { $0.contains("/./") }) else { return lines }
      return try String(contentsOfFile: days, encoding: .utf8)
    }
  }

  /// A run, as far as it does not depend on the machine's speed.
  struct Effect: Equatable {
    var status: Int32
    var output, errors: String
    var files: [String: String]
  }

  /// Keys that hold times and speeds.
  private static let clocks: Set<String> = [
    "seconds", "started_at", "at", "tokens_per_second", "units_per_second", "milliseconds_p50",
    "milliseconds_p99", "milliseconds", "gflops", "share_of_limit", "peak_bytes", "command",
    "router_seconds", "expert_seconds", "forward_milliseconds", "time_over_dense", "microseconds",
    "step_seconds", "checkpoint_seconds", "validation_seconds", "table_seconds", "frame_seconds",
    "window_seconds",
  ]

  private static func withoutClocks(_ value: Any) -> Any {
    if let object = value as? [String: Any] {
      return object.filter { !clocks.contains($0.key) }.mapValues(withoutClocks)
    }
    return (value as? [Any])?.map(withoutClocks) ?? value
  }

  private static func normalized(_ text: String, without folder: String) -> String {
    let text = text.replacing(folder, with: "FOLDER").replacing(#/[0-9.e+]+ µs/#, with: "µs")
    guard let value = try? JSONSerialization.jsonObject(with: Data(text.utf8)),
      let data = try? JSONSerialization.data(
        withJSONObject: withoutClocks(value), options: [.sortedKeys, .fragmentsAllowed])
    else { return text }
    return String(decoding: data, as: UTF8.self)
  }

  /// Runs in a folder of its own; OUT among the words becomes a path in it that is not there yet.
  private static func run(_ words: [String], input: String) throws -> Effect {
    let folder = try TemporaryFolder()
    let result = try apus(
      words.map { $0.replacing("OUT", with: folder.path + "/out") }, input: input)
    var files: [String: String] = [:]
    for case let name as String in FileManager.default.enumerator(atPath: folder.path) ?? .init() {
      guard let data = FileManager.default.contents(atPath: folder.path + "/" + name),
        !name.contains("checkpoints/"), !name.hasSuffix(".html"), !name.hasSuffix(".svg")
      else { continue }
      // A log is a value a line.
      let texts = String(decoding: data, as: UTF8.self)
        .split(separator: name.hasSuffix(".jsonl") ? "\n" : "\0")
      files[name] = texts.map { normalized(String($0), without: folder.path) }
        .joined(separator: "\n")
    }
    return Effect(
      status: result.status, output: normalized(result.output, without: folder.path),
      errors: normalized(result.errors, without: folder.path), files: files)
  }

  /// What a flag is tried with.
  private enum Trial {
    /// The same command with these words behind it does something else.
    case with([String])
    /// The same command without this word does something else: the flag is in the base already.
    case without(String)
    /// This command does something else.
    case instead([String])
    /// This command with these words behind it does something else.
    case base([String], with: [String])
    /// The same command with these words behind it takes less memory.
    case lessMemory([String])
    /// These words behind the command are refused in a sentence with this text, as they must be.
    case refused([String], String)
  }

  @Test("every flag of every command has an effect or is refused", .slow)
  func effects() throws {
    let inputs = try Inputs()
    let (bases, trials) = try Self.table(inputs)
    var seen: [[String]: Effect] = [:]
    func effect(_ words: [String]) throws -> Effect {
      if let known = seen[words] { return known }
      let found = try Self.run(words, input: inputs.input(of: words))
      seen[words] = found
      return found
    }
    for (path, command) in try Self.commands() {
      let base = try #require(bases[path], "apus \(path) is not in the table")
      // Some take too long, or change what they work on: they are tried where they are refused.
      let isTried = !base.contains { $0.contains("/none") }
      let usual = isTried ? try effect(base) : Effect(status: 0, output: "", errors: "", files: [:])
      #expect(usual.status == 0, "\(base): \(usual.errors)")
      if isTried {
        let again = try Self.run(base, input: inputs.input(of: base))
        #expect(again == usual, "apus \(path) does not repeat")
      }
      for argument in command.arguments ?? [] {
        // A flag and its opposite are one: the trial says which of them differs from the usual.
        let flag = argument.flag.replacing("--no-", with: "--")
        if ["--help", "--version"].contains(flag) { continue }
        if flag == "--threads" {
          #expect(try effect(base + ["--threads", "-1"]).status == 64, "apus \(path) --threads")
          continue
        }
        if flag == "--json", isTried, trials["\(path) --json"] == nil {
          #expect(
            try effect(base.filter { $0 != "--json" })
              != effect(base.filter { $0 != "--json" } + ["--json"]),
            "apus \(path) --json")
          continue
        }
        let trial = try #require(
          trials["\(path) \(flag)"], "apus \(path) \(flag) is not in the table")
        switch trial {
        case .with(let words): #expect(try effect(base + words) != usual, "apus \(path) \(flag)")
        case .without(let word):
          #expect(try effect(base.filter { $0 != word }) != usual, "apus \(path) \(flag)")
        case .instead(let other): #expect(try effect(other) != usual, "apus \(path) \(flag)")
        case .base(let other, let words):
          #expect(try effect(other + words) != effect(other), "apus \(path) \(flag)")
        case .lessMemory(let words):
          func peak(_ more: [String]) throws -> Int {
            let text = try apus(base + ["--context", "64"] + more).output
            let found = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            return try #require(found?["peak_bytes"] as? Int)
          }
          #expect(try peak(words) < peak([]), "apus \(path) \(flag)")
        case .refused(let words, let text):
          let found = try effect(base + words)
          #expect(
            found.status == 64 && found.errors.contains(text),
            "apus \(path) \(flag): \(found.errors)")
        }
      }
    }
  }

  /// A table of variances beside prices, and forecasts of the returns of twelve series.
  private static func markets(_ inputs: Inputs) throws -> (variances: String, panel: String) {
    let days = try String(contentsOfFile: inputs.prices, encoding: .utf8).split(separator: "\n")
      .dropFirst().compactMap { $0.split(separator: ",").first }
    let variances = days.enumerated().map { row, day in
      let wave = 2 + sin(Double(row * row % 31)) + cos(Double(row) / 9)
      return "\(day),\(1e-4 * wave),\(2e-4 * wave * wave),\(100 + sin(Double(row)))"
    }
    let panel = days.prefix(10).enumerated().flatMap { row, day in
      (0..<24).map { "s\($0),\(day),\(sin(Double(row * 24 + $0)) / 20),\(cos(Double(row * $0)))" }
    }
    return (
      try inputs.folder.write(
        "date,rv,beside,price\n" + variances.joined(separator: "\n"), to: "variances.csv"),
      try inputs.folder.write(
        "unique_id,ds,y,wave\n" + panel.joined(separator: "\n"), to: "panel.csv")
    )
  }

  /// What tries the flags of `apus audit`.
  private static func audits(_ inputs: Inputs, calm: String) throws -> [String: Trial] {
    let rows = try String(contentsOfFile: inputs.prices, encoding: .utf8).split(separator: "\n")
    func file(_ name: String, _ header: String, _ cell: (Int) -> String) throws -> String {
      let body = rows.dropFirst().enumerated().map { "\($1),\(cell($0))" }
      return try inputs.folder.write(
        (["\(rows[0]),\(header)"] + body).joined(separator: "\n"), to: name)
    }
    let parts = try file("parts.csv", "half") { $0 < 120 ? "train" : "test" }
    let published = try file("published.csv", "seen") { "2019-01-\(10 + $0 % 20)" }
    let spans = try inputs.folder.write(
      "split,start,end\ntrain,2018-01-01,2018-06-30\ntest,2018-07-01,2018-12-31\n",
      to: "spans.csv")
    let windows = try inputs.folder.write(
      "window,step,role,y\n"
        + (0..<40).map { "w\($0 / 10),\($0 % 10),\($0 % 10 < 7 ? "input" : "target"),\($0 * $0)" }
        .joined(separator: "\n"), to: "windows.csv")
    let parted = ["audit", inputs.prices, "--target", "close", "--test-from", "2018-06-01"]
    let rerun = ["audit", inputs.prices, "--target", "close", "--rerun", inputs.prices]
    return [
      "audit data": .instead(["audit", inputs.days, "--target", "close"]),
      "audit --model": .with(["--model", calm]),
      "audit --target": .with(["--target", "open"]), "audit --id": .with(["--id", "volume"]),
      "audit --time": .base(parted.dropLast(2) + ["--test-from", "50"], with: ["--time", "none"]),
      "audit --day-first": .base(
        ["audit", inputs.days, "--target", "close"], with: ["--no-day-first"]),
      "audit --decimal": .with(["--decimal", "comma"]),
      "audit --missing": .with(["--missing", "100.0"]),
      "audit --locale": .refused(["--locale", "xx"], "must be one of"),
      "audit --split": .base(
        ["audit", parts, "--target", "close"], with: ["--split", "volume"]),
      "audit --test-from": .with(["--test-from", "2018-06-01"]),
      "audit --splits": .with(["--splits", spans]),
      "audit --horizon": .base(parted, with: ["--horizon", "3"]),
      "audit --embargo": .base(parted, with: ["--embargo", "3"]),
      "audit --same-row": .with(["--same-row"]), "audit --future": .with(["--future", "open"]),
      "audit --raw": .with(["--raw", inputs.prices]),
      "audit --published": .base(
        ["audit", published, "--target", "close"], with: ["--published", "seen"]),
      "audit --vintages": .with(["--vintages", published, "--published", "seen"]),
      "audit --windows": .with(["--windows", windows]),
      "audit --rerun": .with(["--rerun", inputs.prices]),
      "audit --cut": .base(rerun, with: ["--cut", "2018-03-01"]),
    ]
  }

  private static func table(_ inputs: Inputs) throws -> ([String: [String]], [String: Trial]) {
    let small = ["--steps", "2", "--context", "16", "--width", "8", "--layers", "1", "-q"]
    let make = { (words: [String]) in
      let result = try apus(words)
      #expect(result.status == 0, "\(words): \(result.errors)")
    }
    for (name, seed) in [("calm", "0"), ("wild", "1")] {
      try make(
        [
          "train", "--model", "lstm", "--data", inputs.prices, "--target", "close", "--seed", seed,
          "--output", inputs.path(name),
        ] + small)
    }
    try make(
      [
        "train", "--model", "lstm", "--data", inputs.prices, "--target", "close", "--future",
        "volume", "--output", inputs.path("ahead"),
      ] + small)
    let later = try inputs.folder.write(priceTable(rows: 260), to: "later.csv")
    // The volumes are others than those that the model keeps.
    let revised = try inputs.folder.write(
      priceTable(rows: 260).split(separator: "\n").enumerated().map { row, line in
        row == 0 ? String(line) : line.prefix(upTo: line.lastIndex(of: ",") ?? line.endIndex) + ",7"
      }.joined(separator: "\n"), to: "revised.csv")
    try make(
      ["train", "--model", "lstm", "--data", inputs.days, "--output", inputs.path("dated")] + small)
    try make(
      ["train", "--model", "lstm", "--data", inputs.text, "--output", inputs.path("writer")] + small
    )
    // A comparison that was cut off, of another question.
    let files = FileManager.default
    try files.createDirectory(
      atPath: inputs.path("cut/runs"), withIntermediateDirectories: true)
    try files.copyItem(
      atPath: inputs.path("wild/checkpoints"), toPath: inputs.path("cut/runs/lstm-0"))
    try make([
      "pathways", "train", "--tasks", "copy", "--steps", "1", "-q", "--output", inputs.path("many"),
    ])
    let days = priceTable(rows: 240).split(separator: "\n").dropFirst(60).prefix(90)
      .compactMap { $0.split(separator: ",").first }
    // The close of a day that is forecast.
    let cell = try #require(
      priceTable(rows: 240).split(separator: "\n").dropFirst(70).first?.split(separator: ",")
        .dropFirst(2).first.map(String.init))
    let predictions = try inputs.folder.write(
      "unique_id,ds,a,b,b-lo-80,b-hi-80\n"
        + days.map { "prices,\($0),100,101,90,110" }.joined(separator: "\n"),
      to: "predictions.csv")
    let published = try #require(
      goldenFolders("/pretrained").first { $0.hasSuffix("/tirex") })
    let known = try inputs.folder.write(
      "ds,y,a\n2018-02-01,100,101\n2018-02-02,100,102\n", to: "known.csv")
    let dated = try inputs.folder.write(
      "ds,a\n2010-01-02,100\n2010-01-03,100\n", to: "dated.csv")
    let config = try inputs.folder.write(
      #"{"model_type": "gpt2", "n_embd": 16, "n_layer": 6, "n_head": 2, "vocab_size": 64, "n_positions": 64}"#,
      to: "config.json")
    let fixture = try #require(goldenFolders().first { $0.hasSuffix("/gpt2") })
    let encoder = try EncoderCommandTests.model(in: inputs.folder)
    let (calm, wild, writer) = (inputs.path("calm"), inputs.path("wild"), inputs.path("writer"))
    let compare =
      [
        "compare", inputs.prices, "--target", "close", "--models", "lstm", "--seeds", "1",
        "--horizon",
        "1", "--output", "OUT", "--json",
      ] + small
    let train =
      [
        "train", "--model", "lstm", "--data", inputs.prices, "--target", "close", "--output", "OUT",
        "--json",
      ] + small
    let again = train.map { $0 == "OUT" ? calm : $0 } + ["--resume"]
    let probe = [
      "probe", "--task", "mqar", "--model", "lstm", "--width", "8", "--layers", "1", "--steps", "2",
      "--lengths", "32", "--examples", "3", "--length", "32", "--vocabulary", "32", "--batch", "2",
      "--validate-every", "1", "--json", "-q",
    ]
    let bench = ["--context", "8", "--runs", "1", "--json"]
    let (variances, panel) = try markets(inputs)
    let market = ["evaluate", panel, "--market"]
    let summaries = try inputs.folder.write(
      "dataset_path,model_name,test_error\na,seasonal_naive,2\na,other,1\n", to: "fev.csv")
    let bases: [String: [String]] = [
      "compare": compare, "train": train,
      "check": ["check", inputs.prices, "--target", "close"],
      "audit": ["audit", inputs.prices, "--target", "close"],
      "backtest": [
        "backtest", "--model", "lstm,naive", "--data", inputs.prices, "--target", "close",
        "--windows", "3", "--horizon", "2", "--output", "OUT", "--json",
      ] + small,
      "evaluate": ["evaluate", predictions, "--data", inputs.prices, "--target", "close"],
      "forecast": ["forecast", "--model", calm, "--data", inputs.prices],
      "stream": ["stream", "--model", calm, "--csv"],
      "compose": [
        "compose", "--experts", "\(calm),\(wild)", "--data", inputs.prices, "--output", "OUT",
        "--json", "-q",
      ],
      "score": ["score", "--model", fixture, "--tokens", inputs.path("ids.json"), "--json"],
      "embed": ["embed", "--model", encoder], "inspect": ["inspect", fixture, "--json"],
      "convert": ["convert", fixture, "--output", "OUT", "--json"], "probe": probe,
      "bench train": ["bench", "train", "--config", config] + bench,
      "bench prefill": ["bench", "prefill", "--config", config] + bench,
      "bench decode": ["bench", "decode", "--config", config] + bench,
      "bench step": ["bench", "step", "--width", "8", "--layers", "1"] + bench,
      "bench attention": ["bench", "attention", "--heads", "1", "--head-size", "8"] + bench,
      "bench scan": ["bench", "scan", "--channels", "8", "--states", "4"] + bench,
      "bench experts": ["bench", "experts", "--width", "8", "--experts", "2", "--per-token", "1"]
        + bench,
      "bench read": [
        "bench", "read", inputs.prices, "--target", "close", "--runs", "1", "--json",
      ],
      "bench volatility": [
        "bench", "volatility", variances, "--target", "rv", "--horizons", "1",
      ],
      "bench forecast": [
        "bench", "forecast", inputs.prices, "--models", "baselines,lstm", "--context", "8",
        "--horizon", "2", "--seeds", "1", "--steps", "2", "--width", "8", "--layers", "1", "-q",
        "--json",
      ],
      "lengths": [
        "lengths", "--models", "lstm", "--lengths", "16", "--tasks", "decode", "--width", "8",
        "--layers", "1", "--json",
      ],
      "pathways train": [
        "pathways", "train", "--tasks", "copy", "--steps", "1", "--output", "OUT", "--json", "-q",
      ],
      "pathways add": [
        "pathways", "add", "reverse", "--model", inputs.path("none"), "--parent", "copy",
      ],
      "pathways measure": ["pathways", "measure", "--output", inputs.path("none/found.json")],
      "routes": ["routes", "--model", inputs.path("many"), "--examples", "2", "--json"],
      "models": ["models"], "env": ["env", "--json"],
    ]
    // Twenty rows come a second time.
    let lines = priceTable(rows: 240).split(separator: "\n")
    let doubled = try inputs.folder.write(
      (lines + lines.suffix(20)).joined(separator: "\n"), to: "doubled.csv")
    // The last day comes a second time, with other prices.
    let day = lines.last?.split(separator: ",").first ?? ""
    let twice = try inputs.folder.write(
      (lines + ["\(day),1,120,7"]).joined(separator: "\n"), to: "twice.csv")
    var trials: [String: Trial] = [:]
    for (path, base, data) in [("compare", compare, "data"), ("train", train, "--data")] {
      let days = base.map { $0 == inputs.prices ? inputs.days : $0 }
      trials["\(path) \(data)"] = .instead(days)
      trials["\(path) --target"] = .with(["--target", "open"])
      trials["\(path) --id"] = .with(["--id", "volume"])
      trials["\(path) --time"] = .with(["--time", "open"])
      trials["\(path) --day-first"] = .base(days, with: ["--no-day-first"])
      trials["\(path) --decimal"] = .with(["--decimal", "comma"])
      trials["\(path) --missing"] = .base(days, with: ["--missing", "103"])
      trials["\(path) --locale"] = .refused(["--locale", "xx"], "must be one of")
      trials["\(path) --header"] = .with(["--header", "0"])
      trials["\(path) --duplicates"] = .base(
        base.map { $0 == inputs.prices ? doubled : $0 }, with: ["--duplicates", "last"])
      trials["\(path) --freq"] = .with(["--freq", "1w"])
      trials["\(path) --season"] = .base(base + ["--measure", "level"], with: ["--season", "3"])
      trials["\(path) --levels"] = .with(["--levels", "0.25,0.5,0.75"])
      trials["\(path) --conformal"] = .with(["--no-conformal"])
      trials["\(path) --horizon"] = .with(["--horizon", "2"])
      trials["\(path) --patch"] = .with(["--patch", "4"])
      trials["\(path) --measure"] = .with(["--measure", "level"])
      trials["\(path) --covariates"] = .with(["--covariates", "volume"])
      trials["\(path) --future"] = .with(["--future", "volume"])
      trials["\(path) --static"] = .with(["--static", "volume"])
      trials["\(path) --holidays"] = .with(["--holidays", "US"])
      trials["\(path) --kind"] = .refused(["--kind", "text"], "--target is for series")
      trials["\(path) --context"] = .with(["--context", "8"])
      trials["\(path) --budget"] = .refused(["--budget", "1s"], "not both")
      trials["\(path) --steps"] = .with(["--steps", "3"])
      trials["\(path) --width"] = .with(["--width", "16"])
      trials["\(path) --layers"] = .with(["--layers", "2"])
      trials["\(path) --learning-rate"] = .with(["--learning-rate", "0.1"])
      trials["\(path) --seed"] = .with(["--seed", "5"])
      trials["\(path) --quiet"] = .without("-q")
      trials["\(path) --output"] = .with(["--output", "OUT/deeper"])
    }
    trials.merge([
      "check data": .instead(["check", inputs.days, "--target", "close"]),
      "check --target": .with(["--target", "open"]), "check --id": .with(["--id", "volume"]),
      "check --time": .with(["--time", "none"]),
      "check --day-first": .base(["check", inputs.days], with: ["--no-day-first"]),
      "check --decimal": .with(["--decimal", "comma"]),
      "check --missing": .with(["--missing", "100.0"]),
      "check --locale": .refused(["--locale", "xx"], "must be one of"),
      "check --header": .with(["--header", "0"]),
      "check --duplicates": .base(["check", doubled], with: ["--duplicates", "last"]),
      "check --freq": .with(["--freq", "1w"]), "check --season": .with(["--season", "3"]),
      "check --measure": .with(["--measure", "level"]),
      "check --output": .with(["--output", "OUT"]),
    ]) { $1 }
    trials.merge(try audits(inputs, calm: calm)) { $1 }
    trials.merge([
      "compare --models": .with(["--models", "mamba"]), "compare --seeds": .with(["--seeds", "2"]),
      "compare --gate": .with(["--gate"]),
      "compare --tune": .with(["--tune", "2"]),
      "compare --ensemble": .base(
        compare.map { $0 == "lstm" ? "lstm,mamba" : $0 }, with: ["--ensemble"]),
      "compare --resume": .refused(
        ["--output", inputs.path("cut"), "--resume"], "was begun with"),
      "evaluate file": .instead(["evaluate", known]),
      "evaluate --fev": .base(["evaluate", summaries], with: ["--fev"]),
      "evaluate --baseline": .base(
        ["evaluate", summaries, "--fev"], with: ["--baseline", "other"]),
      "evaluate --market": .base(["evaluate", panel], with: ["--market"]),
      "evaluate --groups": .base(market, with: ["--groups", "3"]),
      "evaluate --cost": .base(market, with: ["--cost", "50"]),
      "evaluate --periods": .base(market, with: ["--periods", "52"]),
      "evaluate --simple": .base(market, with: ["--simple"]),
      "evaluate --output": .base(market, with: ["--output", "OUT"]),
      "evaluate --data": .with(["--data", inputs.days]),
      "evaluate --target": .with(["--target", "open"]), "evaluate --id": .with(["--id", "volume"]),
      "evaluate --time": .with(["--time", "open"]),
      "evaluate --decimal": .with(["--decimal", "comma"]),
      "evaluate --missing": .with(["--missing", cell]),
      "evaluate --locale": .refused(["--locale", "xx"], "must be one of"),
      "evaluate --day-first": .base(
        ["evaluate", dated, "--data", inputs.days, "--target", "close", "--day-first"],
        with: ["--no-day-first"]),
      "backtest --model": .with(["--model", "drift,naive"]),
      "backtest --data": .with(["--data", inputs.days]),
      "backtest --target": .with(["--target", "open"]), "backtest --id": .with(["--id", "volume"]),
      "backtest --time": .with(["--time", "open"]),
      "backtest --day-first": .base(
        ["backtest", "--model", "naive", "--data", inputs.days, "--target", "close", "-q"],
        with: ["--no-day-first"]),
      "backtest --decimal": .with(["--decimal", "comma"]),
      "backtest --missing": .with(["--missing", "100.0"]),
      "backtest --locale": .refused(["--locale", "xx"], "must be one of"),
      "backtest --header": .with(["--header", "0"]),
      "backtest --duplicates": .base(
        ["backtest", "--model", "naive", "--data", doubled, "-q"], with: ["--duplicates", "last"]),
      "backtest --freq": .with(["--freq", "1w"]),
      "backtest --season": .base(
        [
          "backtest", "--model", "seasonal-naive", "--data", inputs.prices, "--target", "close",
          "--measure", "level", "-q",
        ], with: ["--season", "3"]),
      "backtest --horizon": .with(["--horizon", "1"]),
      "backtest --measure": .with(["--measure", "level"]),
      "backtest --test": .base(
        ["backtest", "--model", "naive", "--data", inputs.prices, "--target", "close", "-q"],
        with: ["--test", "0.4"]),
      "backtest --windows": .with(["--windows", "2"]),
      "backtest --step": .with(["--step", "1"]), "backtest --refit": .with(["--refit", "1"]),
      "backtest --embargo": .with(["--embargo", "20"]),
      "backtest --covariates": .with(["--covariates", "volume"]),
      "backtest --future": .with(["--future", "volume"]),
      "backtest --static": .with(["--static", "volume"]),
      "backtest --holidays": .with(["--holidays", "US"]),
      "forecast --future-data": .base(
        ["forecast", "--model", inputs.path("ahead"), "--data", inputs.prices],
        with: ["--future-data", later]),
      "compare --future-data": .base(
        compare + ["--future", "volume"], with: ["--future-data", later]),
      "forecast --paths": .with(["--paths", "3"]),
      "forecast --seed": .base(
        ["forecast", "--model", calm, "--data", inputs.prices, "--paths", "3"],
        with: ["--seed", "5"]),
      "forecast --header": .with(["--header", "0"]),
      "forecast --duplicates": .base(
        ["forecast", "--model", calm, "--data", twice], with: ["--duplicates", "first"]),
      "forecast --freq": .with(["--freq", "1w"]),
      "backtest --levels": .with(["--levels", "0.25,0.5,0.75"]),
      "backtest --patch": .with(["--patch", "4"]),
      "backtest --head": .with(["--head", "mixture"]),
      "train --head": .with(["--head", "student-t"]),
      "compare --head": .with(["--head", "student-t"]),
      "stream --future-data": .base(
        ["stream", "--model", inputs.path("ahead"), "--csv"], with: ["--future-data", revised]),
      "backtest --output": .with(["--output", "OUT/deeper"]),
      "backtest --context": .with(["--context", "8"]),
      "backtest --budget": .refused(["--budget", "1s"], "not both"),
      "backtest --steps": .with(["--steps", "3"]), "backtest --width": .with(["--width", "16"]),
      "backtest --layers": .with(["--layers", "2"]),
      "backtest --learning-rate": .with(["--learning-rate", "0.1"]),
      "backtest --seed": .with(["--seed", "5"]), "backtest --quiet": .without("-q"),
      "backtest --formula-guard": .base(
        ["backtest", "--model", "naive", "--data", inputs.prices, "--target", "close", "-q"],
        with: ["--formula-guard"]), "train --model": .with(["--model", "mamba"]),
      "train --resume": .base(
        train.map { $0 == "OUT" ? calm : $0 } + ["--target", "close"], with: ["--resume"]),
      "train --seeds": .with(["--seeds", "2"]), "train --tune": .with(["--tune", "2"]),
      "train --batch": .with(["--batch", "2"]), "train --accumulate": .with(["--accumulate", "2"]),
      "train --patience": .base(
        train + ["--steps", "300", "--learning-rate", "0.9"], with: ["--patience", "1"]),
      // Bits may be the same, so the checkpoint of a run without them tells.
      "train --precision": .base(again, with: ["--precision", "bf16"]),
      "train --recompute": .base(again, with: ["--recompute"]),
      "forecast --model": .with(["--model", wild]),
      "forecast --data": .with(["--data", inputs.days]),
      "forecast --target": .with(["--target", "open"]), "forecast --id": .with(["--id", "volume"]),
      "forecast --time": .with(["--time", "open"]),
      "forecast --day-first": .base(
        ["forecast", "--model", inputs.path("dated"), "--data", inputs.days],
        with: ["--no-day-first"]),
      "forecast --decimal": .with(["--decimal", "comma"]),
      "forecast --missing": .base(
        ["forecast", "--model", inputs.path("dated"), "--data", inputs.days],
        with: ["--missing", "103"]),
      "forecast --horizon": .base(
        ["forecast", "--model", published, "--data", inputs.prices, "--target", "close"],
        with: ["--horizon", "3"]),
      "forecast --measure": .base(
        ["forecast", "--model", published, "--data", inputs.prices, "--target", "close"],
        with: ["--measure", "level"]),
      "forecast --locale": .refused(["--locale", "xx"], "must be one of"),
      "forecast --formula-guard": .refused(["--json", "--no-formula-guard"], "is for CSV"),
      "stream --model": .with(["--model", wild]), "stream --csv": .without("--csv"),
      "stream --json": .refused(["--json"], "not both"),
      "stream --warm-up": .with(["--warm-up", "0"]),
      "stream --snapshot": .with(["--snapshot", "OUT"]),
      "stream --every": .refused(["--every", "5s"], "--snapshot"),
      "stream --target": .with(["--target", "open"]),
      "stream --id": .with(["--id", "volume"]), "stream --time": .with(["--time", "open"]),
      "stream --day-first": .base(
        ["stream", "--model", inputs.path("./dated")], with: ["--no-day-first"]),
      "stream --decimal": .with(["--decimal", "comma"]),
      "stream --missing": .with(["--missing", "100.0"]),
      "stream --locale": .refused(["--locale", "xx"], "must be one of"),
      "stream --formula-guard": .base(["stream", "--model", calm], with: ["--formula-guard"]),
      "compose --experts": .with(["--experts", wild]),
      "compose --data": .with(["--data", inputs.days]),
      "compose --output": .with(["--output", "OUT/deeper"]),
      "compose --coverage": .refused(["--coverage", "0"], "must be above 0"),
      "compose --passage": .refused(["--passage", "64"], "--passage is for language models"),
      "compose --quiet": .without("-q"), "compose --target": .with(["--target", "open"]),
      "compose --id": .with(["--id", "volume"]), "compose --time": .with(["--time", "open"]),
      "compose --day-first": .base(
        ["compose", "--experts", writer, "--data", inputs.text, "--output", "OUT", "-q"],
        with: ["--day-first"]),
      "compose --decimal": .with(["--decimal", "comma"]),
      "compose --missing": .base(
        ["compose", "--experts", writer, "--data", inputs.text, "--output", "OUT", "-q"],
        with: ["--missing", "103"]),
      "compose --locale": .refused(["--locale", "xx"], "must be one of"),
      "score --model": .with(["--model", encoder]),
      "score --tokens": .with(["--tokens", inputs.path("none.json")]),
      "score --logits": .with(["--logits", "OUT"]), "embed --model": .with(["--model", fixture]),
      "inspect path": .instead(["inspect", config, "--json"]),
      "inspect --tensors": .with(["--tensors"]),
      "convert model": .instead(["convert", config, "--output", "OUT", "--json"]),
      "convert --output": .with(["--output", "OUT/deeper"]),
      "convert --dtype": .with(["--dtype", "bf16"]),
      "convert --shard-size": .with(["--shard-size", "4KB"]),
    ]) { $1 }
    trials.merge([
      "probe --recipe": .with(["--recipe", inputs.path("none.json")]),
      "probe --task": .with(["--task", "induction"]), "probe --model": .with(["--model", "mamba"]),
      "probe --set": .with(["--set", "hidden_size=16"]),
      "probe --length": .with(["--length", "24"]),
      "probe --shortest": .with(["--shortest", "16"]),
      "probe --short-steps": .refused(["--short-steps", "1"], "needs --shortest"),
      "probe --vocabulary": .with(["--vocabulary", "48"]),
      "probe --items": .with(["--items", "3"]),
      "probe --random-fill": .with(["--random-fill"]),
      "probe --depth": .refused(["--depth", "3"], "--depth has no meaning for mqar"),
      "probe --batch": .with(["--batch", "3"]), "probe --warmup": .with(["--warmup", "1"]),
      "probe --validate-every": .with(["--validate-every", "2"]),
      "probe --lengths": .with(["--lengths", "24"]),
      "probe --examples": .with(["--examples", "2"]),
      "probe --context": .refused(["--context", "16"], "lstm has no look-back"),
      "probe --budget": .with(["--budget", "0.000001s"]),
      "probe --steps": .with(["--steps", "3"]), "probe --width": .with(["--width", "16"]),
      "probe --layers": .with(["--layers", "2"]),
      "probe --learning-rate": .with(["--learning-rate", "0.5"]),
      "probe --seed": .with(["--seed", "3"]), "probe --quiet": .without("-q"),
      "bench forecast data": .refused([inputs.path("none.csv")], "Unexpected argument"),
      "bench volatility data": .refused([inputs.path("none.csv")], "Unexpected argument"),
      "bench volatility --target": .with(["--target", "beside"]),
      "bench volatility --price": .with(["--price", "price"]),
      "bench volatility --horizons": .with(["--horizons", "2"]),
      "bench volatility --fit-rows": .with(["--fit-rows", "60"]),
      "bench volatility --from": .with(["--from", "2018-09-01"]),
      "bench read data": .instead(
        ["bench", "read", inputs.days, "--target", "close", "--runs", "1", "--json"]),
      "bench read --target": .with(["--target", "open"]),
      "bench read --id": .with(["--id", "volume"]),
      "bench read --time": .with(["--time", "none"]),
      "bench read --day-first": .base(
        ["bench", "read", inputs.days, "--runs", "1", "--json"], with: ["--no-day-first"]),
      "bench read --decimal": .with(["--decimal", "comma"]),
      "bench read --missing": .with(["--missing", "100.0"]),
      "bench read --locale": .refused(["--locale", "xx"], "must be one of"),
      "bench read --header": .with(["--header", "0"]),
      "bench read --duplicates": .base(
        ["bench", "read", doubled, "--runs", "1", "--json"], with: ["--duplicates", "last"]),
      "bench read --freq": .with(["--freq", "1w"]),
      "bench read --season": .with(["--season", "3"]),
      "bench read --measure": .with(["--measure", "level"]),
      "bench read --context": .with(["--context", "6"]),
      "bench read --horizon": .with(["--horizon", "3"]),
      "bench read --runs": .with(["--runs", "2"]),
      "bench forecast --split": .refused(["--split", "half"], "--split"),
      "bench forecast --horizon": .with(["--horizon", "3"]),
      "bench forecast --season": .with(["--season", "3"]),
      "bench forecast --models": .with(["--models", "naive"]),
      "bench forecast --seeds": .with(["--seeds", "2"]),
      "bench forecast --window": .with(["--window", "0"]),
      "bench forecast --batch": .with(["--batch", "2"]),
      "bench forecast --context": .with(["--context", "6"]),
      "bench forecast --budget": .refused(["--budget", "1s"], "not both"),
      "bench forecast --steps": .with(["--steps", "3"]),
      "bench forecast --width": .with(["--width", "16"]),
      "bench forecast --layers": .with(["--layers", "2"]),
      "bench forecast --learning-rate": .with(["--learning-rate", "0.1"]),
      "bench forecast --seed": .with(["--seed", "5"]),
      "bench forecast --quiet": .without("-q"),
      "bench step --model": .with(["--model", "lstm"]),
      "bench step --width": .with(["--width", "16"]),
      "bench step --layers": .with(["--layers", "2"]),
      "bench attention --heads": .with(["--heads", "2"]),
      "bench attention --head-size": .with(["--head-size", "16"]),
      "bench scan --channels": .with(["--channels", "16"]),
      "bench scan --states": .with(["--states", "8"]),
      "bench experts --width": .with(["--width", "16"]),
      "bench experts --experts": .with(["--experts", "4"]),
      "bench experts --per-token": .with(["--per-token", "2"]),
      "bench experts --hidden": .with(["--hidden", "16"]),
      "bench train --recompute": .lessMemory(["--recompute"]),
      "lengths --models": .with(["--models", "mamba"]),
      "lengths --lengths": .with(["--lengths", "32"]),
      "lengths --tasks": .with(["--tasks", "prefill"]),
      "lengths --width": .with(["--width", "16"]),
      "lengths --layers": .with(["--layers", "2"]),
      "lengths --limit": .base(
        [
          "lengths", "--models", "lstm", "--lengths", "16,64", "--tasks", "decode", "--width", "8",
          "--layers", "1",
        ], with: ["--limit", "0.000001s"]),
      "lengths --output": .with(["--output", "OUT"]),
      "lengths --update": .refused(["--update"], "--update needs --output"),
      "lengths --json": .base(
        [
          "lengths", "--models", "lstm", "--lengths", "16", "--tasks", "decode", "--width", "8",
          "--layers", "1", "--output", "OUT",
        ], with: ["--json"]),
      "pathways train --tasks": .with(["--tasks", "shapes"]),
      "pathways train --steps": .with(["--steps", "2"]),
      "pathways train --information": .base(
        ["pathways", "train", "--tasks", "copy,season", "--steps", "1", "--output", "OUT"],
        with: ["--information", "1"]),
      "pathways train --seed": .with(["--seed", "3"]), "pathways train --quiet": .without("-q"),
      "pathways train --output": .with(["--output", "OUT/deeper"]),
      "pathways add task": .refused(["copy"], "Unexpected argument"),
      "pathways add --model": .with(["--model", inputs.path("many"), "--steps", "1"]),
      "pathways add --parent": .refused(["--parent", "none"], "--parent"),
      "pathways add --examples": .refused(["--examples", "0"], "--examples is 0"),
      "pathways add --steps": .refused(["--steps", "0"], "--steps is 0"),
      "pathways add --seed": .refused(["--seed", "x"], "--seed"),
      "pathways add --json": .base(
        [
          "pathways", "add", "shapes", "--steps", "1", "--parent", "copy", "--model",
          inputs.path("none"),
        ],
        with: ["--model", inputs.path("many"), "--json"]),
      "pathways measure --output": .refused(["--steps", "0", "--output", "x"], "--steps is 0"),
      "pathways measure --joint-steps": .refused(["--joint-steps", "0"], "--joint-steps is 0"),
      "pathways measure --steps": .refused(["--steps", "0"], "--steps is 0"),
      "pathways measure --seed": .refused(["--seed", "x"], "--seed"),
      "pathways measure --json": .refused(["--json=x"], "--json"),
      "routes --model": .with(["--model", calm]), "routes --examples": .with(["--examples", "3"]),
    ]) { $1 }
    for task in ["train", "prefill", "decode"] {
      trials["bench \(task) --config"] = .with(["--config", inputs.path("none.json")])
    }
    for task in ["train", "prefill", "decode", "step", "attention", "scan", "experts"] {
      trials["bench \(task) --context"] = .with(["--context", "16"])
      trials["bench \(task) --runs"] = .refused(["--runs", "0"], "--runs is 0")
    }
    for task in ["train", "prefill", "decode", "attention", "scan", "experts"] {
      trials["bench \(task) --batch"] = .with(["--batch", "2"])
    }
    for task in ["train", "prefill", "decode", "step", "experts"] {
      trials["bench \(task) --precision"] = .with(["--precision", "bf16"])
    }
    return (bases, trials)
  }
}

extension String {
  fileprivate var trimmed: String { trimmingCharacters(in: .whitespaces) }
}

import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("What training learned about its file")
struct TableFormatTests {
  /// A table of so many rows, and a model of random weights that was made for it, after the way to the
  /// disk and back.
  private func withModel(
    of lines: [String], _ body: (_ folder: ModelFolder, _ table: SeriesTable) throws -> Void
  ) throws {
    let table = try SeriesTable(parsingCSV: Array(lines.joined(separator: "\n").utf8))
    let recipe = try FeatureRecipe(
      fitting: table, measure: .level, covariates: [], split: try Split(table, horizon: 2))
    let config = try ForecasterConfig(
      try Architecture.named("lstm"), size: BackboneSize(width: 8, layers: 1, context: 8),
      inputs: recipe.inputs, horizon: 2, levels: [0.1, 0.5, 0.9])
    try withTemporaryFolder { folder in
      try ModelFolder.save(
        try Forecaster(config, key: RandomKey(seed: 1)), recipe: recipe, target: table.targetName,
        to: folder)
      try body(try ModelFolder.open(folder), table)
    }
  }

  private func stream(_ lines: [String], _ folder: ModelFolder) throws -> [LineForecast] {
    var forecasts = try LineForecasts(folder, warmUp: 0)
    return try lines.compactMap { try forecasts.push($0) }
  }

  private static func date(_ day: Int, _ text: (CivilTime) -> String) -> String {
    text(Timestamp(secondsSinceEpoch: 1_675_209_600 + Int64(day) * 86_400).civil)  // 2023-02-01
  }

  private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

  private static func wave(_ row: Int) -> String {
    "\(50 + (row * 37) % 19).\((row * 7) % 10)"
  }

  @Test("tells day from month, though the first row of a stream does not")
  func dayFirst() throws {
    let lines =
      ["date,value"]
      + (0..<90).map { row in
        Self.date(row) { "\(Self.two($0.day))/\(Self.two($0.month))/\($0.year)" }
          + ",\(Self.wave(row))"
      }
    try withModel(of: lines) { folder, table in
      let found = try stream(lines, folder)
      #expect(found.map(\.cutoff) == table.series[0].timestamps.map { "\($0)" })
      // A file that ends before a day above 12, newest first: nothing in it tells.
      let few = ["date,value"] + lines[1...11].reversed()
      let short = try SeriesTable(
        parsingCSV: Array(few.joined(separator: "\n").utf8),
        options: SeriesOptions().completed(by: folder.forecaster()))
      #expect(short.series[0].timestamps == Array(table.series[0].timestamps.prefix(11)))
      // What a person says counts more.
      var options = SeriesOptions()
      options.dayFirst = false
      var other = try LineForecasts(folder, options: options, warmUp: 0)
      _ = try other.push(lines[0])
      #expect(try other.push(lines[1])?.cutoff == "2023-01-02")
    }
  }

  @Test("keeps the number style and the zone of a stream's rows")
  func numbersAndZone() throws {
    let lines =
      ["time;value"]
      + (0..<100).map { row in
        Self.date(row / 24) { "\($0.year)-\(Self.two($0.month))-\(Self.two($0.day))" }
          + "T\(Self.two(row % 24)):00:00+02:00;"
          + (row == 1 ? "1.735" : "1.7\(row % 90),5")
          .replacing(row == 1 ? "" : "1.7", with: row == 1 ? "" : "17")
      }
    try withModel(of: lines) { folder, table in
      #expect(table.series[0].values[1] == 1735)
      #expect(table.series[0].timestamps[0].description.hasPrefix("2023-01-31T22:00"))
      // The row that could be read either way comes first.
      let found = try stream([lines[0], lines[2]], folder)
      #expect(found.map(\.cutoff) == ["\(table.series[0].timestamps[1])"])
      let recipe = try folder.forecaster().recipe
      #expect(recipe.table == table.format && recipe.table?.numbers.usesDecimalComma == true)
      #expect(recipe.table?.isUniversal == true)
    }
  }

  @Test("refuses files and streams of another frequency, and no others")
  func frequency() throws {
    func lines(step: Int64, _ rows: Int, start: Int64 = 1_675_209_600) -> [String] {
      ["date,value"]
        + (0..<rows).map {
          "\(Timestamp(secondsSinceEpoch: start + Int64($0) * step)),\(Self.wave($0))"
        }
    }
    let day: Int64 = 86_400
    try withModel(of: lines(step: day, 90)) { folder, _ in
      let options = try SeriesOptions().completed(by: folder.forecaster())
      let saved = try Model(folder)
      func forecast(_ lines: [String]) throws {
        let bytes = Array(lines.joined(separator: "\n").utf8)
        _ = try FutureForecast(saved, table: SeriesTable(parsingCSV: bytes, options: options))
      }
      try forecast(lines(step: day, 40))
      try forecast(lines(step: day, 3))
      for (step, name) in [(3600, "hourly"), (7 * day, "weekly")] as [(Int64, String)] {
        let other = ForecastError.otherFrequency(found: name, expected: "daily")
        #expect(throws: other) { try forecast(lines(step: step, 40)) }
      }
      #expect(try stream(lines(step: day, 60), folder).count == 60)
      #expect(throws: ForecastError.self) { try stream(lines(step: 3600, 3), folder) }
      #expect(throws: ForecastError.otherFrequency(found: "weekly", expected: "daily")) {
        try stream(lines(step: 7 * day, 20), folder)
      }
    }
  }

  /// Tables whose rows do not say by themselves how they are read, each with one series.
  static let tables: [(name: String, lines: [String])] = [
    (
      "hours to 24",
      ["Date,Hour,Load"]
        + (0..<96).map { row in
          date(row / 24) { "\(two($0.month))/\(two($0.day))/\($0.year)" }
            + ",\(row % 24 + 1),\(wave(row))"
        }
    ),
    (
      "a clock under another name",
      ["Datum;Uhrzeit;Preis"]
        + (0..<96).map { row in
          date(row / 24) { "\(two($0.day)).\(two($0.month)).\($0.year)" }
            + ";\(two(row % 24)):00;\(wave(row).replacing(".", with: ","))"
        }
    ),
    (
      "thousands in one column",
      ["Date\tVolume\tPrice"]
        + (0..<90).map { row in
          date(row) { "\($0.year)-\(two($0.month))-\(two($0.day))" }
            + "\t112,\(100 + row)\t1.\(700 + row * 37 % 190)"
        }
    ),
    (
      "days of a spreadsheet",
      ["Date,Units"] + (0..<90).map { "\(44_958 + $0 / 5 * 7 + $0 % 5),\(wave($0))" }
    ),
    (
      "months in German",
      ["Monat;Wert"]
        + (0..<90).map { row in
          let names = [
            "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September",
            "Oktober", "November", "Dezember",
          ]
          return "\(names[row % 12]) \(2010 + row / 12);\(wave(row).replacing(".", with: ","))"
        }
    ),
    (
      "bars without names",
      (0..<90).map { row in
        let price = Double(100 + (row * 37) % 19)
        return date(row) { "\($0.year).\(two($0.month)).\(two($0.day))" }
          + ",00:00,\(price),\(price + 2),\(price - 2),\(price + 1),\(row)"
      }
    ),
  ]

  @Test("reads a stream as training read the file", arguments: tables.indices)
  func stream(index: Int) throws {
    let (name, lines) = Self.tables[index]
    try withModel(of: lines) { folder, table in
      let found = try stream(lines, folder)
      #expect(found.map { Timestamp($0.cutoff) } == table.series[0].timestamps, "\(name)")
      let options = SeriesOptions().completed(by: try folder.forecaster())
      let head = table.format?.columns == nil ? 1 : 0
      let few = Array(lines[..<head]) + lines.suffix(3)
      let short = try SeriesTable(
        parsingCSV: Array(few.joined(separator: "\n").utf8), options: options)
      #expect(short.series[0].timestamps == table.series[0].timestamps.suffix(3), "\(name)")
      #expect(short.series[0].values == table.series[0].values.suffix(3), "\(name)")
      let recipe = try folder.forecaster().recipe
      #expect(recipe.table == table.format, "\(name)")
    }
  }

  @Test("keeps series apart by several columns")
  func keys() throws {
    let lines =
      ["date,store,item,sales"]
      + (0..<90).flatMap { row in
        [(1, 1), (1, 2), (2, 1)].map { store, item in
          Self.date(row) { "\($0.year)-\(Self.two($0.month))-\(Self.two($0.day))" }
            + ",\(store),\(item),\(Self.wave(row + 7 * store + item))"
        }
      }
    try withModel(of: lines) { folder, table in
      #expect(table.format?.series == ["store", "item"])
      let found = try stream(Array(lines.prefix(40)), folder)
      #expect(Set(found.compactMap(\.uniqueId)) == ["1/1", "1/2", "2/1"])
      #expect(found.count == 39)
    }
  }

  @Test("reads what the version before kept")
  func earlier() throws {
    func format(_ json: String) throws -> TableFormat {
      try JSONDecoder().decode(TableFormat.self, from: Data(json.utf8))
    }
    let rest =
      #""isUniversal":false,"targets":["y"],"covariates":[],"#
      + #""numbers":{"usesDecimalComma":true,"missingWords":["na"]}"#
    let parts = try format(
      #"{"time":{"parts":{"columns":["year","month","day"]}},"series":"id",\#(rest)}"#)
    #expect(
      parts.time
        == .parts(
          zip(["year", "month", "day"], [TableFormat.TimeRole.year, .month, .day]).map {
            TableFormat.Part(column: $0, role: $1)
          }))
    #expect(parts.series == ["id"] && parts.styles.isEmpty && parts.numbers.usesDecimalComma)
    let dates = try format(
      #"{"time":{"dates":{"column":"ds","style":"dayMonthYear","timeOfDay":"t"}},\#(rest)}"#)
    #expect(dates.time == .dates(column: "ds", style: .dayMonthYear, timeOfDay: "t"))
    for known in [
      #"{"time":{"rowOrder":{}},\#(rest)}"#, #"{"time":{"ordinal":{"column":"t"}},\#(rest)}"#,
      #"{"time":{"header":{"style":"year"}},\#(rest)}"#, #"{"time":{"header":{}},\#(rest)}"#,
    ] {
      let found = try format(known)
      #expect(
        try JSONDecoder().decode(TableFormat.self, from: JSONEncoder().encode(found)) == found)
    }
  }
}

import Foundation
import Testing

@Suite("Commands that train and forecast")
struct ModelCommandTests {
  @Test("train, forecast and stream go hand in hand")
  func series() throws {
    let folder = try TemporaryFolder()
    let table = priceTable(rows: 200)
    let data = try folder.write(table, to: "prices.csv")
    let model = folder.path + "/model"
    let train = try apus(
      "train", "--model", "mamba", "--data", data, "--target", "close", "--covariates", "volume",
      "--output", model, "--steps", "3", "--context", "16", "--horizon", "2", "--width", "16",
      "--json")
    #expect(train.status == 0, "\(train.errors)")
    let summary = try #require(
      try JSONSerialization.jsonObject(with: Data(train.output.utf8)) as? [String: Any])
    #expect(summary["steps"] as? Int == 3 && summary["task"] as? String == "forecast")
    #expect(summary["validation_loss"] as? Double != nil && summary["output"] as? String == model)
    let forecast = try apus("forecast", "--model", model, "--data", data)
    #expect(forecast.status == 0, "\(forecast.errors)")
    #expect(forecast.lines.count == 3)
    #expect(forecast.lines[0].hasPrefix("unique_id,ds,mamba,mamba-lo-90,mamba-hi-90,mamba-lo-80"))
    #expect(forecast.lines[1].hasPrefix("prices,2018-10-08,"))
    let stream = try apus("stream", "--model", model, "--csv", input: table)
    #expect(stream.status == 0 && stream.errors.isEmpty, "\(stream.errors)")
    #expect(stream.lines.count == 201)
    let batch = forecast.lines[1].split(separator: ",").compactMap { Double($0) }
    // Behind the anomaly and the drift.
    let last = stream.lines[200].split(separator: ",").compactMap { Double($0) }.dropFirst(2)
    for (one, other) in zip(batch, last) { #expect(abs(one - other) < 1e-6) }
    let bad = try apus(
      "stream", "--model", model,
      input: "date,close,volume\n2018-01-01,100,1\n2018-01-02,x,1\n2018-01-03,101,2\n")
    #expect(bad.status == 0 && bad.lines.count == 2)
    #expect(bad.errors.hasPrefix("apus: line 3: found 'x' in column 'close'"))
    let other = try apus("stream", "--model", model, input: "date,close\n2018-01-01,100\n")
    #expect(other.status == 65 && other.errors.contains("no column 'ln(1+volume)'"))
  }

  @Test("end a run that no longer improves, and average batches")
  func patience() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 200), to: "prices.csv")
    func train(_ more: String..., output: String) throws -> [String: Any] {
      let result = try apus(
        [
          "train", "--model", "lstm", "--data", data, "--target", "close", "--steps", "400",
          "--context", "16", "--width", "8", "--learning-rate", "0.9", "--json", "--quiet",
          "--output", folder.path + "/" + output,
        ] + more)
      #expect(result.status == 0, "\(result.errors)")
      let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
      return try #require(object as? [String: Any])
    }
    let stopped = try train("--patience", "3", output: "a")
    #expect(stopped["steps"] as? Int ?? 400 < 400, "\(stopped)")
    let averaged = try train("--patience", "3", "--accumulate", "2", output: "b")
    #expect(averaged["validation_loss"] as? Double != stopped["validation_loss"] as? Double)
  }

  @Test("train a text, and go on where a run has ended")
  func text() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(
      String(repeating: "swifts sleep on the wing; ", count: 100), to: "text.txt")
    let model = folder.path + "/model"
    func train(_ more: String...) throws -> CommandResult {
      let arguments =
        [
          "train", "--model", "lstm", "--data", data, "--output", model, "--steps", "2",
          "--context", "16", "--width", "16", "--layers", "1", "--quiet",
        ] + more
      return try apus(arguments)
    }
    let first = try train()
    #expect(first.status == 0, "\(first.errors)")
    #expect(first.output.contains("nats per character"))
    #expect(FileManager.default.fileExists(atPath: model + "/model.safetensors"))
    let again = try train()
    #expect(again.status == 73 && again.errors.contains("earlier run"))
    #expect(try train("--resume").status == 0)
    let changed = try train("--resume", "--seed", "5")
    #expect(changed.status == 64 && changed.errors.contains("seed was 0, is 5"))
    let wrong = try apus("forecast", "--model", model, "--data", data)
    #expect(wrong.status == 65 && wrong.errors.contains("made for 'language'"))
  }

  @Test(
    "refuse what is wrong with the code for it",
    arguments: [
      (["train"], 64), (["train", "--frobnicate"], 64),
      (["train", "--model", "mamba", "--data", "D", "--output", "O", "--steps", "0"], 64),
      (["train", "--model", "mamba", "--data", "D", "--output", "O", "--budget", "soon"], 64),
      (["train", "--model", "mamba", "--data", "D", "--output", "O", "--learning-rate", "2"], 64),
      (["train", "--model", "mumba", "--data", "D", "--output", "O"], 78),
      (["train", "--model", "none.json", "--data", "D", "--output", "O"], 66),
      (["train", "--model", "mamba", "--data", "none.csv", "--output", "O"], 66),
      (["train", "--model", "mamba", "--data", "none.txt", "--output", "O"], 66),
      (["train", "--model", "mamba", "--data", "D", "--output", "/dev/null/x"], 73),
      (["train", "--model", "mamba", "--data", "D", "--output", "O", "--target", "clse"], 65),
      (["train", "--model", "mamba", "--data", "D", "--output", "O", "--covariates", "zz"], 65),
      (["train", "--model", "mamba", "--data", "D", "--output", "O", "--horizon", "4000"], 65),
      (["forecast", "--model", "none", "--data", "D"], 66),
      (["stream", "--model", "none"], 66), (["stream", "--model", "none", "--csv", "--json"], 64),
    ] as [([String], Int32)])
  func errors(arguments: [String], status: Int32) throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 120), to: "prices.csv")
    let output = folder.path + "/output"
    let places = ["D": data, "O": output]
    let result = try apus(arguments.map { places[$0] ?? $0 } + ["--threads", "1"])
    #expect(result.status == status, "\(result.errors)")
    #expect(result.output.isEmpty && !result.errors.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: output))
  }

  @Test(
    "a name typed wrong gets the nearest one",
    arguments: [
      (["compre"], "Did you mean 'compare'?"), (["pathways", "trian"], "Did you mean 'train'?"),
      (["compare", "--hrizon", "3"], "Did you mean '--horizon'?"),
      (["train", "--model", "mumba", "--data", "D", "--output", "O"], "Did you mean 'mamba'?"),
      (["compare", "--models", "lstm,mmaba"], "Did you mean 'mamba'?"),
      (["probe", "--task", "mqar", "--model", "mamba", "--set", "hiden_size=8"], "'hidden_size'?"),
    ])
  func suggestions(arguments: [String], expected: String) throws {
    let result = try apus(arguments)
    #expect([64, 78].contains(result.status) && result.output.isEmpty)
    #expect(result.errors.contains(expected), "\(result.errors)")
  }
}

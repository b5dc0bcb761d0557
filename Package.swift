// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]
let safe = settings + [.strictMemorySafety()]  // above ApusTensor: no pointers upstairs

let package = Package(
  name: "apus",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Apus", targets: ["Apus"]),
    // For programs that run saved models: neither report pages nor hashes are compiled.
    .library(name: "ApusRuntime", targets: ["ApusData", "ApusModels", "ApusRuntime"]),
    .executable(name: "apus", targets: ["ApusCLI"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
    .package(url: "https://github.com/ordo-one/TextTable", from: "0.0.2"),
  ],
  targets: [
    .target(
      name: "CApusKernels",
      cxxSettings: [.headerSearchPath(".")],
      linkerSettings: [.linkedLibrary("dnnl"), .linkedLibrary("hwy")]),
    .target(name: "ApusTensor", dependencies: ["CApusKernels"], swiftSettings: settings),
    .target(name: "ApusNN", dependencies: ["ApusTensor"], swiftSettings: safe),
    .target(name: "ApusData", dependencies: ["ApusTensor"], swiftSettings: safe),
    .target(name: "ApusModels", dependencies: ["ApusNN"], swiftSettings: safe),
    .target(name: "ApusRuntime", dependencies: ["ApusModels", "ApusData"], swiftSettings: safe),
    .target(
      name: "ApusEvaluation",
      dependencies: ["ApusRuntime", .product(name: "Mustache", package: "swift-mustache")],
      resources: [.embedInCode("Resources/report.mustache")],
      swiftSettings: safe),
    .target(
      name: "ApusTraining",
      dependencies: ["ApusEvaluation", .product(name: "Crypto", package: "swift-crypto")],
      swiftSettings: safe),
    .target(name: "Apus", dependencies: ["ApusTraining"], swiftSettings: settings),
    .executableTarget(
      name: "ApusCLI",
      dependencies: [
        "Apus",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "TextTable", package: "TextTable"),
      ],
      swiftSettings: safe),
    .target(
      name: "ApusTestSupport", dependencies: ["ApusModels"], path: "Tests/ApusTestSupport",
      swiftSettings: settings),
  ]
    + [
      "CApusKernels", "ApusTensor", "ApusNN", "ApusData", "ApusModels", "ApusRuntime",
      "ApusEvaluation", "ApusTraining", "Apus", "ApusCLI",
    ].map { name in
      .testTarget(
        name: "\(name)Tests",
        dependencies: ["ApusTestSupport", .byName(name: name)],
        exclude: ["ApusCLI", "ApusData", "ApusModels", "ApusRuntime"].contains(name)
          ? ["Fixtures"] : [],
        swiftSettings: settings)
    },
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx17
)

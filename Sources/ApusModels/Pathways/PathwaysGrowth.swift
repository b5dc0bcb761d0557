public import ApusTensor
import ApusNN

extension Pathways {
  /// The model with one more task, which at first computes what its parent computes and shares no
  /// weight that training may move.
  ///
  /// - Parameters:
  ///   - name: The task's name.
  ///   - head: What it asks for; weights of the head start afresh.
  ///   - parent: The task to begin as a copy of; one without experts of its own.
  ///   - seeing: Earlier tasks whose published experts the router may choose as well; with any, the
  ///     first step is no longer the parent's.
  ///   - ownExperts: The number of its own experts in each block of the upper half.
  ///   - key: The key of the fresh weights.
  /// - Returns: A model whose earlier weights have the same bits, and cannot be trained.
  /// - Throws: ``ConfigError``.
  public func adding(
    _ name: String, head: PathwaysTask.Head, parent: String, seeing: [String] = [],
    ownExperts: Int = 1, key: RandomKey
  ) throws -> Pathways {
    let source = try task(named: parent)
    guard config.tasks[source].ownExperts == 0 else {
      throw ConfigError.invalid(
        key: "parent", value: parent,
        rule: "it has experts of its own, which a copy would not have; publish them and see them")
    }
    var task = PathwaysTask(name: name, head: head)
    task.parent = parent
    task.segments = config.tasks[source].segments + seeing
    task.ownExperts = ownExperts
    var config = config
    config.tasks.append(task)
    let grown = try Pathways(config, key: key)
    let known = Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0) })
    for parameter in grown.parameters {
      guard let old = known[parameter.name] else { continue }
      parameter.set(old.value)
      parameter.setTrainable(false)
    }
    grown.copySteering(from: source)
    return grown
  }

  /// Norms, and what steers, from a task to the last one.
  private func copySteering(from source: Int) {
    guard let target = tasks.last else { return }
    for (layer, block) in blocks.enumerated() {
      let (from, to) = (tasks[source].layers[layer], target.layers[layer])
      to.mixerNorm.weight.set(from.mixerNorm.weight.value)
      to.expertNorm.weight.set(from.expertNorm.weight.value)
      if let vector = tasks[source].vector {
        let steer = withoutGradient {
          vector.value.reshaped([1, config.taskWidth]).linear(weight: block.steering.value)
        }
        to.steeringBias?.fill(from: steer)
      } else {
        if let bias = from.steeringBias { to.steeringBias?.fill(from: bias.value) }
        if let low = from.steeringLow { to.steeringLow?.set(low.value) }
        if let high = from.steeringHigh { to.steeringHigh?.fill(from: high.value) }
      }
    }
    target.norm.weight.set(tasks[source].norm.weight.value)
  }

  /// Lets later tasks see the own experts of a task. Nothing of the model changes.
  ///
  /// - Throws: ``ConfigError`` when no task has this name.
  public func publishing(_ name: String) throws -> Pathways {
    var config = config
    config.tasks[try task(named: name)].isPublished = true
    return try Pathways(
      config,
      in: Scope(
        checkpoint: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) })))
  }
}

extension Parameter {
  /// Takes the numbers of `other` as its first, and zeros behind them.
  fileprivate func fill(from other: Tensor) {
    let values = other.values
    set(Tensor(values + [Float](repeating: 0, count: shape.count - values.count), shape))
  }
}

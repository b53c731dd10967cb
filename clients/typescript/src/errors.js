/** Base class of the client's errors. */
export class LimelightError extends Error {
  /**
   * @param {number | null} status HTTP status, or null without an answer
   * @param {string} errorType kind of error, such as `text_too_long`
   * @param {string} detail cause of the error
   * @param {ErrorOptions} [options]
   */
  constructor(status, errorType, detail, options) {
    super(`${status === null ? "" : `${status} `}${errorType}: ${detail}`, options);
    this.name = new.target.name;
    this.status = status;
    this.errorType = errorType;
    this.detail = detail;
  }
}

/** The service answered with an error. */
export class AnswerError extends LimelightError {}

/** The service cannot be reached, or the connection ended before the answer was complete. */
export class ConnectionFailed extends LimelightError {
  /** @param {string} detail @param {ErrorOptions} [options] @param {string} [errorType] */
  constructor(detail, options, errorType = "connection_failed") {
    super(null, errorType, detail, options);
  }
}

/** The service did not answer within `timeoutMs`. */
export class TimedOut extends ConnectionFailed {
  /** @param {string} detail @param {ErrorOptions} [options] */
  constructor(detail, options) {
    super(detail, options, "timeout");
  }
}

/**
 * @param {number} status
 * @param {string} content a problem document, or any other content, as a proxy may send it
 * @returns {AnswerError}
 */
export function errorOf(status, content) {
  try {
    const problem = JSON.parse(content);
    if (typeof problem.error_type === "string") return new AnswerError(status, problem.error_type, problem.detail);
  } catch {
    // not JSON
  }
  return new AnswerError(status, "http_error", content.slice(0, 200));
}

// @ts-check
/** One sentence for every code an answer can carry: what happened, and what to do now. Codes are stable, texts are not. */

/** @type {Record<string, string>} */
export const sentences = {
  slot_taken: "Somebody else just took this time. Please choose another one.",
  hold_expired: "We could not keep this time any longer. Please choose a time again.",
  calendar_busy: "Many people are booking here right now. Please try again in a moment.",
  outside_opening_hours: "This time is not offered any more. Please choose another one.",
  too_late_to_change: "It is too late to change this appointment online. Please call the clinic.",
  illegal_transition: "This is not possible any more: the appointment has changed meanwhile.",
  not_licensed_in_state: "This practitioner may not see patients in that state. Please choose another one.",
  idempotency_mismatch: "Something was sent twice with different content. Please try again.",
  idempotency_in_progress: "We are still working on your last request. Please wait a moment.",
  version_gone: "This view was too old and has been loaded again.",
  version_conflict: "Somebody else changed this meanwhile. Please look at it again before you change it.",
  validation_failed: "Something in what you entered is not right. Please check it.",
  unauthenticated: "Your session has ended. Please sign in again.",
  second_factor_required: "Please sign in again with your second factor.",
  forbidden: "Your role does not allow this.",
  not_found: "This does not exist, or not any more.",
  method_not_allowed: "This cannot be done here.",
  rate_limited: "That was a little too fast. Please wait a moment and try again.",
  payload_too_large: "That is too much at once. Please shorten it.",
  unavailable: "We cannot be reached at the moment. Please try again; nothing will be booked twice.",
  price_exists: "There is a price or policy from that time on already. Please choose a later time.",
  charge_not_billable: "This charge cannot be billed: it has no price or patient, or is billed already.",
  invoice_state: "This is not possible any more: the invoice or payment has changed meanwhile.",
  refund_too_large: "This is more than is left of the payment.",
  claim_incomplete: "Something is missing that the payer needs. Please complete the claim.",
  webhook_forged: "This message does not come from the payment provider.",
  webhook_too_old: "This message of the payment provider is too old.",
  export_too_large: "This is too much for one file. Please choose a shorter time.",
  internal_error: "Something went wrong on our side. Please try again; nothing will be booked twice.",
};

/** @param {string | undefined} code */
export const sentence = (code) => sentences[code ?? ""] ?? sentences.internal_error;

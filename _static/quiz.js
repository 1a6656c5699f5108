// Quizzes: what was chosen is compared with the folded answers at the end of the page.
// Nothing is stored, and nothing leaves the page.
document.addEventListener("DOMContentLoaded", () => {
  for (const quiz of document.querySelectorAll(".quiz")) {
    const forms = [...quiz.querySelectorAll("form")];
    const bar = quiz.querySelector(".quiz-bar");
    const count = quiz.querySelector(".quiz-count");
    const answers = new Map(
      [...quiz.querySelectorAll("[data-answer]")].map((entry) => [entry.dataset.answer, entry]),
    );
    const isRight = (box) => answers.get(box.id).classList.contains("quiz-right");
    const right = new Set();

    const settle = (form, holds) => {
      right[holds ? "add" : "delete"](form);
      const text = `${right.size} of ${forms.length} right`;
      // Writing the same text again would have it spoken again.
      if (count.textContent !== text) count.textContent = text;
    };

    // A verdict must not stand beside a choice that it was not made for.
    const clear = (form) => {
      form.querySelector(".quiz-status").replaceChildren();
      settle(form, false);
    };

    const check = (form) => {
      const boxes = [...form.querySelectorAll("input")];
      const chosen = boxes.filter((box) => box.checked);
      const holds = boxes.every((box) => box.checked === isRight(box));
      settle(form, holds);
      const parts = [];
      const say = (text) => {
        const line = document.createElement("p");
        line.textContent = text;
        parts.push(line);
      };
      if (chosen.length === 0) {
        say("Choose an answer first.");
      } else {
        // Of a single choice, what is said to it says all.
        if (boxes[0].type === "checkbox") {
          if (holds) say("Right: this is all that holds.");
          else if (chosen.every(isRight)) say("Not complete: more holds than this.");
          else say("Not right: not all of this holds.");
        }
        const said = document.createElement("ul");
        said.append(...chosen.map((box) => answers.get(box.id).cloneNode(true)));
        const see = quiz.querySelector(`[data-question="${boxes[0].name}"]`);
        parts.push(said, see.cloneNode(true));
      }
      form.querySelector(".quiz-status").replaceChildren(...parts);
    };

    for (const form of forms) {
      const button = form.querySelector("button");
      button.hidden = button.disabled = false;
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        check(form);
      });
      form.addEventListener("change", () => clear(form));
    }
    bar.hidden = false;
    bar.querySelector("button").addEventListener("click", () => {
      for (const form of forms) {
        form.reset();
        clear(form);
      }
      forms[0].querySelector("input").focus();
    });
  }
});

/** One click on a demo account fills in the form; Enter signs in. */
const form = document.getElementById("login");

for (const account of document.querySelectorAll("[data-username]")) {
  account.addEventListener("click", () => {
    form.username.value = account.dataset.username;
    form.password.value = account.dataset.password;
    form.querySelector("button").focus();
  });
}
